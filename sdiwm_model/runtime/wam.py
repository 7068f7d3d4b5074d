"""A bundle whose world-action model plans, alone or as MPPI's proposals; torch is not needed.

A latent of these back ends is the world-action model's observation [z | image features |
normalised joints], of which z is the world model's. So it goes through every seam and topic.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from sdiwm_model.checkpoint import REMEDY, WEIGHTS
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.chunk_planner import ChunkPlanner
from sdiwm_model.planning.chunks import AtOnce, ChunkStream
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.proposals import ProposalPlanner
from sdiwm_model.planning.protocols import Array, Dynamics, PlannerSettings, TimedPlanner
from sdiwm_model.runtime.checks import as_floats, check_disagreement
from sdiwm_model.runtime.onnx import OnnxRuntime
from sdiwm_model.runtime.wam_settings import WamSettings, check_wam
from sdiwm_model.wam.checkpoint import FOLDER
from sdiwm_model.wam.onnx_engine import OnnxWamEngine
from sdiwm_model.wam.protocols import WamEngine
from sdiwm_model.wam.switches import Switches


class WamRuntime(OnnxRuntime):
    """See runtime.protocols.Runtime; latents are (O,) wide.

    All planners share one engine: the newest one that is used has it.

    Args:
        backend: "wam" or "wam+mppi".
        engine: of the bundle's world-action model; opened here where it is not given.

    Raises:
        SdiwmError: the bundle holds no world-action model, one of another encoder or format, or the
            settings contradict it.
    """

    def __init__(
        self,
        folder: Path,
        backend: str,
        settings: WamSettings,
        text_encoder: str | Path | None = None,
        engine: WamEngine | None = None,
    ) -> None:
        super().__init__(folder, text_encoder)
        self.backend = backend
        self._settings = settings
        self.wam, self._chunks = check_wam(folder, self.manifest, backend, settings)
        self._engine = engine or OnnxWamEngine(
            folder / FOLDER, self.wam.size, Switches(one_step=self.wam.one_step)
        )
        self._proprio = _read_normalisation(folder / WEIGHTS)

    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (frames * E,), proprio (P,) -> o (O,)."""
        z = super().fuse(features, proprio)
        mean, std = self._proprio
        newest = features[: self.manifest.sizes.features]
        return np.concatenate([z, newest, (proprio - mean) / std]).astype(np.float32)

    def make_planner(self, settings: PlannerSettings, seed: int) -> TimedPlanner:
        """The chunks' own planner, or MPPI with proposals on the bundle's world model."""
        dt, size = self.manifest.dt, self.wam.size
        stream = ChunkStream(self._engine, self._executor, self._chunks, dt, seed)
        if self.backend == "wam":
            self._check_settings(settings)
            return ChunkPlanner(stream, settings, size, dt)
        check_disagreement(settings, self.manifest.sizes.ensemble)
        mppi = Mppi(self._scorer, settings, seed)
        return ProposalPlanner(mppi, stream, self._chunks.count, size, dt)

    def call_where_chunks_are_made(self, job: Callable[[], None]) -> None:
        """Have ``job`` done by the thread that makes chunks, soon; without one, now."""
        self._executor.submit(job)

    def rollout(self, z: Array, actions: Array, c: Array) -> Array:
        """o (O,), actions (T, A), c (C,) -> (T, O): z as imagined, the rest as it was."""
        o = as_floats("z", z, (self.wam.size.observation,))
        latent = self.manifest.sizes.latent
        path = super().rollout(o[:latent], actions, c)
        return np.concatenate([path, np.repeat(o[None, latent:], len(path), axis=0)], axis=1)

    def probe(self, z: Array) -> Array:
        """o (..., O) -> (..., S)."""
        return super().probe(z[..., : self.manifest.sizes.latent])

    @cached_property
    def _executor(self) -> Executor:
        return ThreadPoolExecutor(1, "chunks") if self._settings.asynchronous else AtOnce()

    @cached_property
    def _scorer(self) -> Dynamics:
        """The world model in integers, where the bundle has it; else as ONNX graphs."""
        if "engine.safetensors" not in self.manifest.files:
            return self.dynamics
        from sdiwm_model.runtime.native import NativeDynamics, NativeEngine

        return NativeDynamics(NativeEngine.load(self.folder))

    def _check_settings(self, settings: PlannerSettings) -> None:
        """SdiwmError where something is asked of MPPI that chunks cannot give."""
        chunk, own = self.wam.size.chunk, self.manifest.planner
        if settings.horizon > chunk and settings.horizon != own.horizon:
            raise SdiwmError(
                f"planner.horizon is {settings.horizon}, but a chunk of this world-action model "
                f"has {chunk} model steps: use {chunk} or less"
            )
        changed = [
            name
            for name, value in vars(settings).items()
            if name != "horizon" and value != getattr(own, name)
        ]
        if changed:
            raise SdiwmError(
                f"planner.{changed[0]} means nothing to the back end 'wam', which carries out "
                "chunks as they are: use wam+mppi"
            )


def _read_normalisation(path: Path) -> tuple[Array, Array]:
    """Mean (P,) and standard deviation (P,) of the joints, by which training divided."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:
            mean, std = (weights.get_tensor(f"fusion.proprio_{part}") for part in ("mean", "std"))
            return mean, std
    except (SafetensorError, FileNotFoundError) as error:
        raise SdiwmError(f"{path} is damaged ({error}); {REMEDY}") from None
