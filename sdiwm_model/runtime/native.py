"""The generated integer engine on this machine: C++ through ctypes, which releases the GIL."""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdiwm_model.compression.fixed_point import (
    actions_from_int16,
    actions_to_int8,
    actions_to_int16,
    latent_from_q15,
    latent_to_q15,
)
from sdiwm_model.compression.integer_planner import MAX_HORIZON, PlannerIntegers, planner_integers
from sdiwm_model.compression.integer_reference import fusion_inputs
from sdiwm_model.compression.quantised_model import QuantisedModel, load_engine, make_goal
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.codegen import generate
from sdiwm_model.planning.protocols import Array, Plan, PlannerSettings
from sdiwm_model.runtime.build import build_library

_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "workspace_bytes": (ctypes.c_int64, ()),
    "fuse": (None, (_POINTER, _POINTER)),
    "prior": (None, (_POINTER, _POINTER, ctypes.c_int32, _POINTER)),
    "plan": (ctypes.c_int32, (_POINTER,) * 5),
    "candidates": (None, (_POINTER,) * 4),
    "rollout_cost": (
        None,
        (_POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_int32, _POINTER, _POINTER),
    ),
    "rollout": (
        None,
        (_POINTER, _POINTER, _POINTER, ctypes.c_int32, ctypes.c_int32, _POINTER, _POINTER),
    ),
    "heads": (None, (_POINTER, _POINTER, ctypes.c_int32, _POINTER, _POINTER, _POINTER)),
    "peak": (ctypes.c_int64, (ctypes.c_int64,)),
    "single_precision_peak": (ctypes.c_int64, (ctypes.c_int64,)),
}


class Library:
    """The engine's functions for one instruction set, by default the best of this processor.

    Each attribute is a C function of mcu_firmware/boards/host/engine.cpp.
    """

    def __init__(self, path: Path, isa: str | None = None) -> None:
        try:
            loaded = ctypes.CDLL(str(path))
        except OSError as error:
            raise SdiwmError(
                f"The built engine {path} cannot be loaded ({error}): delete it, it is built anew."
            ) from error
        loaded.sdiwm_best_isa.restype = ctypes.c_char_p
        self.isa = isa or loaded.sdiwm_best_isa().decode()
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(loaded, f"sdiwm_{name}_{self.isa}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> ctypes._NamedFuncPointer:
        raise AttributeError(f"the engine has no function '{name}'")


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """Uninitialised bytes, aligned to 64."""
    raw = np.empty(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size]


class _GoalBuffer:
    """The integers of the last conditioning, in the engine's layout; remade only when c changes."""

    def __init__(self, q: QuantisedModel) -> None:
        self._q = q
        self._c: bytes = b""
        self._goal: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self.address = 0

    def set(self, c: ArrayLike) -> int:
        """c (C,) -> address of its goal."""
        c = np.ascontiguousarray(c, np.float32)
        key = c.tobytes()
        if key != self._c:
            goal = np.frombuffer(make_goal(self._q, c).to_bytes(), np.uint8)
            self._goal = aligned_bytes(goal.size)
            self._goal[:] = goal
            self._c, self.address = key, self._goal.ctypes.data
        return self.address


class NativeEngine:
    """A quantised model, compiled. Latents and actions are float32 outside, integers inside.

    The methods share one workspace under a lock; each planner has its own.
    """

    def __init__(self, q: QuantisedModel, isa: str | None = None) -> None:
        self.model = q
        self.library = Library(build_library(generate(q)), isa)
        self._work = aligned_bytes(self.library.workspace_bytes())
        self._goal = _GoalBuffer(q)
        self._lock = threading.Lock()

    @classmethod
    def load(cls, bundle: Path | str, isa: str | None = None) -> NativeEngine:
        """The engine of a bundle folder."""
        return cls(load_engine(Path(bundle) / "engine.safetensors"), isa)

    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (frames * E,), proprio (P,) in SI units -> z (Z,)."""
        x = fusion_inputs(self.model, features, proprio)
        if x.ndim != 1:
            raise SdiwmError(f"fuse takes one observation, not a batch of shape {x.shape[:-1]}.")
        z = np.empty(self.model.latent, np.int16)
        self.library.fuse(x.ctypes.data, z.ctypes.data)
        return latent_from_q15(z)

    def rollout(self, z: Array, actions: Array, c: Array) -> Array:
        """z (Z,), actions (T, A), c (C,) -> latents (T, Z); a batch axis may lead z and actions."""
        states = latent_to_q15(np.atleast_2d(_finite("z", z)))
        moves = actions_to_int8(_finite("actions", actions))
        moves = np.ascontiguousarray(moves[None] if moves.ndim == 2 else moves)
        self._check("z", states.shape, (len(moves), self.model.latent))
        self._check("actions", moves.shape, (*moves.shape[:2], self.model.action))
        path = np.empty((*moves.shape[:2], self.model.latent), np.int16)
        with self._lock:
            self.library.rollout(
                self._goal.set(c), states.ctypes.data, moves.ctypes.data,
                len(moves), moves.shape[1], path.ctypes.data, self._work.ctypes.data,
            )  # fmt: skip
        latents = latent_from_q15(path)
        return latents[0] if np.ndim(actions) == 2 else latents

    def heads(self, z: Array, c: Array) -> tuple[Array, Array]:
        """z (N, Z), c (C,) -> cost (N,), value (N,) in units of cost."""
        states = latent_to_q15(_finite("z", z))
        self._check("z", states.shape, (len(states), self.model.latent))
        cost, value = (np.empty(len(states), np.int32) for _ in range(2))
        with self._lock:
            self.library.heads(
                self._goal.set(c), states.ctypes.data, len(states),
                cost.ctypes.data, value.ctypes.data, self._work.ctypes.data,
            )  # fmt: skip
        units = self.model.goal
        return (
            (cost * float(units.cost_unit)).astype(np.float32),
            (value * float(units.value_unit)).astype(np.float32),
        )

    def prior(self, z: Array, c: Array) -> Array | None:
        """z (Z,), c (C,) -> the policy prior's actions (h, A), or None where there is none."""
        state = latent_to_q15(_finite("z", z))
        self._check("z", state.shape, (self.model.latent,))
        if self.model.prior is None:
            return None
        actions = np.empty((self.model.plan_horizon, self.model.action), np.int16)
        with self._lock:
            self.library.prior(
                self._goal.set(c), state.ctypes.data, len(actions), actions.ctypes.data
            )
        return actions_from_int16(actions)

    def rollout_cost(
        self,
        z: Array,
        actions: Array,
        c: Array,
        value_weight: float = 1.0,
        disagreement: float = 0.0,
    ) -> Array:
        """z (Z,), actions (N, H, A), c (C,) -> J (N,), H up to 64; a disagreement is refused."""
        state = latent_to_q15(_finite("z", z))
        moves = np.ascontiguousarray(actions_to_int8(_finite("actions", actions)))
        self._check("z", state.shape, (self.model.latent,))
        self._check("actions", moves.shape, (*moves.shape[:2], self.model.action))
        if not 1 <= moves.shape[1] <= MAX_HORIZON:
            raise SdiwmError(
                f"The horizon is {moves.shape[1]}: the engine takes 1 to {MAX_HORIZON}."
            )
        chosen = PlannerSettings(value_weight=value_weight, disagreement=disagreement)
        settings = planner_integers(self.model, chosen, 0)
        settings.horizon = moves.shape[1]
        costs = np.empty(len(moves), np.int32)
        with self._lock:
            self.library.rollout_cost(
                self._goal.set(c), ctypes.addressof(settings), state.ctypes.data,
                moves.ctypes.data, len(moves), costs.ctypes.data, self._work.ctypes.data,
            )  # fmt: skip
        return (costs * float(self.model.goal.cost_unit)).astype(np.float32)

    def make_planner(self, settings: PlannerSettings, seed: int) -> NativePlanner:
        """A planner with a workspace of its own."""
        return NativePlanner(self, settings, seed)

    def _check(self, name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
        if shape != expected:
            raise SdiwmError(f"{name} has shape {shape}; this model takes {expected}.")


class NativeDynamics:
    """`Dynamics` by the engine, for planners written in numpy."""

    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine
        self.action_size = engine.model.action

    def step(self, z: Array, a: Array, c: Array) -> Array:
        """z (N, Z), a (N, A), c (C,) -> (N, Z)."""
        return self._engine.rollout(z, np.asarray(a)[:, None], c)[:, 0]

    def cost(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self._engine.heads(z, c)[0]

    def value(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self._engine.heads(z, c)[1]

    def prior(self, z: Array, c: Array) -> Array | None:
        """z (Z,), c (C,) -> (h, A) or None."""
        return self._engine.prior(z, c)

    def rollout_cost(
        self,
        z: Array,
        actions: Array,
        c: Array,
        value_weight: float = 1.0,
        disagreement: float = 0.0,
    ) -> Array:
        """z (Z,), actions (N, H, A), c (C,) -> J (N,)."""
        return self._engine.rollout_cost(z, actions, c, value_weight, disagreement)


class NativePlanner:
    """A whole plan in one call into the engine; one plan at a time.

    The warm start enters as int16 of which 32512 is 1.0, half rounded to even. The seed and the
    number of the plan key the noise: the same sequence of calls gives the same plans.
    """

    def __init__(self, engine: NativeEngine, settings: PlannerSettings, seed: int) -> None:
        self.settings = settings
        self.integers: PlannerIntegers = planner_integers(engine.model, settings, seed)
        self._plan = engine.library.plan
        self._latent = engine.model.latent
        self._shape = (settings.horizon, engine.model.action)
        self._unit = float(engine.model.goal.cost_unit)
        self._goal = _GoalBuffer(engine.model)
        self.workspace = aligned_bytes(engine.library.workspace_bytes())
        self._state = np.zeros(self._latent, np.int16)
        self._mean = np.zeros(self._shape, np.int16)
        self._addresses = (
            ctypes.addressof(self.integers),
            self._state.ctypes.data,
            self._mean.ctypes.data,
            self.workspace.ctypes.data,
        )

    def plan(self, z: Array, c: Array, warm_start: Array | None = None) -> Plan:
        """z (Z,), c (C,), warm_start (H, A) or None (the prior's sequence, or zeros) -> Plan.

        Raises:
            SdiwmError: a wrong shape or a value that is not finite.
        """
        began = time.perf_counter()
        z = _finite("z", z)
        if z.shape != (self._latent,):
            raise SdiwmError(f"z has shape {z.shape}; this model takes {(self._latent,)}.")
        self._state[:] = latent_to_q15(z)
        self.integers.cold = int(warm_start is None)
        if warm_start is not None:
            self._mean[:] = self._start(warm_start)
        cost = self._plan(self._goal.set(c), *self._addresses)
        self.integers.plan = (self.integers.plan + 1) & 0xFFFFFFFF
        actions = actions_from_int16(self._mean)
        return Plan(actions, cost * self._unit, time.perf_counter() - began)

    def _start(self, warm_start: Array) -> NDArray[np.int16]:
        warm_start = _finite("warm_start", warm_start)
        if warm_start.shape != self._shape:
            raise SdiwmError(
                f"The warm start has shape {warm_start.shape}; this planner takes {self._shape} "
                "(horizon, actions)."
            )
        return actions_to_int16(warm_start)


def _finite(name: str, x: ArrayLike) -> Array:
    array = np.ascontiguousarray(x, np.float32)
    if not np.isfinite(array).all():
        raise SdiwmError(f"{name} holds NaN or infinity: check what it was computed from.")
    return array
