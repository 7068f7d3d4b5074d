"""The `mcu` back end: from picture to plan on a microcontroller, or on an emulated one.

Language runs here by ONNX Runtime, once for each instruction; so does sight where the chip's
firmware has no encoder, and `encode_image`, with which pictures of goals are read.
"""

from __future__ import annotations

import atexit
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.compression.fixed_point import (
    actions_from_int16,
    actions_to_int16,
    latent_from_q15,
    latent_to_q15,
)
from sdiwm_model.compression.integer_planner import PlannerIntegers, planner_integers
from sdiwm_model.compression.integer_reference import fusion_inputs
from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.boards import BOARDS, Board, find_board
from sdiwm_model.firmware.emulator import Emulator
from sdiwm_model.firmware.on_host import FAST, HostLine, build_link
from sdiwm_model.firmware.program import (
    MAX_CANDIDATES,
    MAX_HORIZON,
    Contents,
    build_firmware,
)
from sdiwm_model.planning.protocols import Array, Plan, Planner, PlannerSettings
from sdiwm_model.runtime.checks import as_floats
from sdiwm_model.runtime.link import WAKING, Line, Link, RefusedError, SerialLine
from sdiwm_model.runtime.mcu_observer import McuObserver
from sdiwm_model.runtime.messages import Codec
from sdiwm_model.runtime.onnx import OnnxRuntime
from sdiwm_model.runtime.protocols import Observer

EMULATED = "pil"  # processor in the loop: the port name of an emulated chip
EMULATED_BOARD = "mps2-an500"
ON_HOST = "sil"  # software in the loop: the same firmware compiled for this machine
TIMEOUT_S = 0.25
EMULATED_TIMEOUT_S = 60.0
LONGEST_WITH_PRIOR = 12  # model steps of a plan
CANDIDATES_WITH_PRIOR = 16  # at least, and a multiple of them
# Multiply-accumulates of a Cortex-M7 at 480 MHz in 10 ms, 1.08 a cycle: a little below what is
# estimated for pruned students, 1.11 and more (doc/results/compression_*.json, all_three).
MACS_OF_PLAN = 5_200_000


class Microcontroller:
    """A chip that plans: its link, and what firmware it must run.

    Args:
        contents: of the firmware, as `Contents.of_bundle` says.
        port: see `McuRuntime`.
        timeout_s: for one answer; None: as a chip or an emulator needs.

    Raises:
        SdiwmError: no chip, no answer, or firmware of another model or protocol.
    """

    def __init__(self, contents: Contents, port: str, timeout_s: float | None = None) -> None:
        self.contents, self.port = contents, port
        self.model = contents.model
        if timeout_s is None:
            slow = is_emulated(port) or port == ON_HOST
            timeout_s = EMULATED_TIMEOUT_S if slow else TIMEOUT_S
        codec = Codec(contents.wire_sizes)
        self.link = Link(self._open_line, codec, contents.hash_bytes, timeout_s)
        weakref.finalize(self, self.link.close)
        atexit.register(self.link.close)

    def make_planner(self, settings: PlannerSettings, seed: int) -> McuPlanner:
        """MPPI in integers on the chip: the same bits as on every other target."""
        return McuPlanner(self, settings, seed)

    def seconds(self, ticks: int, cycles: float) -> float:
        """Ticks of the chip -> seconds; `cycles` for each instruction where it is emulated."""
        board = BOARDS.get(self.link.board)
        if board is None:
            return ticks / float(self.link.identity["ticks_per_second"])
        return board.seconds(ticks, cycles)

    def _open_line(self) -> Line:
        if self.port == ON_HOST:
            self._folder = tempfile.TemporaryDirectory(prefix="sdiwm-sil-")
            return HostLine(build_link(self.contents, Path(self._folder.name), FAST))
        if not is_emulated(self.port):
            return SerialLine(self.port)
        board = emulated_board(self.port)
        return Emulator(board, build_firmware(self.contents, board))


class McuRuntime(OnnxRuntime):
    """See runtime.protocols.Runtime. Latents are the integer engine's, as floats.

    Args:
        folder: a bundle.
        port: `pil` or `pil:BOARD` for an emulated chip, which is built, started and stopped here;
            `sil` for the firmware on this machine, where the chip's clock stands still; else what
            pyserial opens: a device, a pty, socket://HOST:PORT.

    Raises:
        SdiwmError: no chip, no answer, or firmware of another model or protocol.
    """

    backend = "mcu"

    def __init__(
        self, folder: Path, text_encoder: str | Path | None = None, port: str = EMULATED
    ) -> None:
        super().__init__(folder, text_encoder)
        check_dynamics(folder, self.manifest)
        self.manifest = replace(self.manifest, planner=fitting(self.manifest))
        self.contents = Contents.of_bundle(folder)
        self.model = self.contents.model
        self.chip = Microcontroller(self.contents, port)
        self.link = self.chip.link

    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (frames * E,), proprio (P,) -> z (Z,)."""
        sizes = self.manifest.sizes
        features = as_floats("features", features, (sizes.frames * sizes.features,))
        proprio = as_floats("proprio", proprio, (sizes.proprio,))
        answer = self.link.ask("Fuse", {"input": fusion_inputs(self.model, features, proprio)})
        return latent_from_q15(np.array(answer["latent"], np.int16))

    def make_observer(self) -> Observer:
        """Pictures are encoded on the chip where its firmware can, else here."""
        if not self.link.identity["has_encoder"]:
            return super().make_observer()
        board = BOARDS.get(self.link.board)
        cycles = board.encoder_cycles if board else 0.0
        return McuObserver(
            self.link, self.model, self.manifest, lambda ticks: self.chip.seconds(ticks, cycles)
        )

    def make_planner(self, settings: PlannerSettings, seed: int) -> Planner:
        """See `Microcontroller.make_planner`."""
        return self.chip.make_planner(settings, seed)

    def close(self) -> None:
        """Give the chip up, and stop it where it is emulated."""
        self.link.close()


class McuPlanner:
    """A whole plan by one request; `elapsed_s` is the chip's own time, never this machine's.

    An emulated chip counts instructions; its time is their number times the board's cycles for each
    at 480 MHz, an estimate. A real chip counts cycles.
    """

    def __init__(self, chip: Microcontroller, settings: PlannerSettings, seed: int) -> None:
        self.settings = settings
        self._chip, self._link, self._model = chip, chip.link, chip.model
        board = BOARDS.get(chip.link.board)
        self._cycles = board.plan_cycles if board else 0.0
        self.integers = planner_integers(chip.model, settings, seed)
        for name in ("candidates", "horizon"):
            asked, most = getattr(settings, name), int(self._link.identity[name])
            if asked > most:
                raise SdiwmError(
                    f"planner.{name} is {asked}: this firmware takes {most} at most; choose less, "
                    f"as in `--set {name}={most}`."
                )
        self._shape = (settings.horizon, chip.model.action)
        self._most_moves = int(self._link.identity["horizon"]) * chip.model.action

    def plan(self, z: Array, c: Array, warm_start: Array | None = None) -> Plan:
        """z (Z,), c (C,), warm_start (H, A) or None (the prior's sequence, or zeros) -> Plan.

        Raises:
            SdiwmError: a wrong shape, a value that is not finite, or no answer.
        """
        z = as_floats("z", z, (self._model.latent,))
        mean = np.zeros(self._most_moves, np.int16)
        if warm_start is not None:
            start = as_floats("warm_start", warm_start, self._shape)
            mean[: start.size] = actions_to_int16(start).ravel()
        request = {
            "plan": self.integers.plan,
            "cold": int(warm_start is None),
            "latent": latent_to_q15(z),
            "mean": mean,
        }
        goal = make_goal(self._model, c).to_bytes()
        answer = self._ask(goal, request)
        self.integers.plan = (self.integers.plan + 1) & 0xFFFFFFFF
        count = self._shape[0] * self._shape[1]
        actions = np.array(answer["mean"][:count], np.int16).reshape(self._shape)
        cost = answer["cost"] * float(self._model.goal.cost_unit)
        seconds = self._chip.seconds(answer["ticks"], self._cycles)
        return Plan(actions_from_int16(actions), cost, seconds)

    def _ask(self, goal: bytes, request: dict[str, Any]) -> dict[str, Any]:
        """A plan; the chip is told goal and settings where it does not know them."""
        try:
            self._tell(goal)
            return self._link.ask("PlanRequest", request)
        except RefusedError as refusal:
            if refusal.reason not in WAKING:
                raise
            self._link.greet()  # it was restarted, or stopped
            self._tell(goal)
            return self._link.ask("PlanRequest", request)

    def _tell(self, goal: bytes) -> None:
        """Settings and goal; another planner may have set its own in between."""
        plain = PlannerIntegers.from_buffer_copy(self.integers)
        plain.plan = plain.cold = 0  # those go with each request
        told = goal + bytes(plain)
        if self._link.told == told:
            return
        self._link.ask("SetSettings", {"word": np.frombuffer(bytes(plain), "<i4")})
        self._link.ask("SetGoal", {"word": np.frombuffer(goal, "<u4")})
        self._link.told = told


def check_dynamics(folder: Path, manifest: Manifest) -> None:
    """Refuse a bundle that no microcontroller runs.

    Raises:
        SdiwmError: its dynamics is no GRU.
    """
    kind = manifest.sizes.dynamics_kind
    if kind != "gru":
        raise SdiwmError(
            f"{folder}: the back end 'mcu' runs a GRU, and this model's dynamics is a {kind}: "
            "choose the back end 'onnx' or 'torch'."
        )


def fitting(manifest: Manifest) -> PlannerSettings:
    """The bundle's planner settings, with as many candidates as a Cortex-M7 rolls out in 10 ms.

    Sixteen at least, since with a policy prior few are enough; without one all that the firmware
    holds are taken.
    """
    own, sizes = manifest.planner, manifest.sizes
    candidates, horizon = min(own.candidates, MAX_CANDIDATES), min(own.horizon, MAX_HORIZON)
    if sizes.prior and own.use_prior:
        horizon = min(horizon, LONGEST_WITH_PRIOR)
        times = MACS_OF_PLAN // (horizon * sizes.macs_per_model_step * CANDIDATES_WITH_PRIOR)
        candidates = min(candidates, CANDIDATES_WITH_PRIOR * max(1, times))
    return replace(own, candidates=candidates, horizon=horizon, iterations=1)


def is_emulated(port: str) -> bool:
    """Whether a port names an emulated chip."""
    return port == EMULATED or port.startswith(f"{EMULATED}:")


def emulated_board(port: str) -> Board:
    """The board of `pil` or `pil:BOARD`."""
    return find_board(port.partition(":")[2] or EMULATED_BOARD)
