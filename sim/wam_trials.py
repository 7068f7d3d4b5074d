"""Closed loop of world-action models in every setting that a bench asks about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.wam_cost import Seen
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.report import distribution, rate
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_model.runtime.wam import WamRuntime
from sdiwm_model.runtime.wam_settings import WamSettings
from sdiwm_model.wam.checkpoint import FOLDER, MANIFEST
from sdiwm_model.wam.protocols import WamEngine
from sdiwm_model.wam.switches import Switches
from sdiwm_sim.closed_loop import ModelController, condition
from sdiwm_sim.task import Task
from sdiwm_sim.trials import Result, Trial, run_trials, successes


@dataclass
class Judge:
    """Runs the same trials with every bundle, the training seeds of one recipe.

    on_result: called after every episode.
    """

    task: Task
    bundles: Sequence[Path]
    trials: Sequence[Trial]
    open_engine: Callable[[Path, Switches], WamEngine]
    on_result: Callable[[Result], None]

    def wam(
        self,
        settings: WamSettings,
        switches: Switches | None = None,
        backend: str = "wam",
        candidates: int | None = None,
    ) -> dict[str, Any]:
        """`success` with its interval over all trials of all bundles, `per_model`, `chunk_ms`.

        `scores` are 0 or 1 for every trial, for comparisons of pairs.

        Args:
            switches: of the engine, instead of those that robots run it with.
            candidates: of MPPI behind the proposals, instead of the bundle's own number.
        """

        def load(bundle: Path) -> Runtime:
            engine = None if switches is None else self.open_engine(bundle, switches)
            return WamRuntime(bundle, backend, settings, engine=engine)

        return self._judge(load, candidates)

    def mppi(self, candidates: int) -> dict[str, Any]:
        """The same of plain MPPI in integers."""
        return self._judge(lambda bundle: load_runtime(bundle, "native"), candidates)

    def _judge(self, load: Callable[[Path], Runtime], candidates: int | None) -> dict[str, Any]:
        scores: list[np.ndarray] = []
        chunks: list[float] = []
        plans: list[float] = []
        for bundle in self.bundles:
            runtime = load(bundle)
            controller = ModelController(runtime, _settings(runtime, candidates))
            scores.append(successes(run_trials(self.task, controller, self.trials, self.on_result)))
            chunks += controller.timings.chunk_ms
            plans += controller.timings.plan_ms
        joined = np.concatenate(scores)
        return {
            "success": rate(int(joined.sum()), len(joined)),
            "per_model": [float(each.mean()) for each in scores],
            "scores": joined.astype(int).tolist(),
            "chunk_in_loop_ms": distribution(chunks),
            "plan_in_loop_ms": distribution(plans),
        }


def with_run(bundle: Path, run: Path, folder: Path) -> Path:
    """The bundle with the world-action model of a run of `sdiwm wam`: links in ``folder``.

    Raises:
        SdiwmError: the run has none yet.
    """
    made = run / FOLDER
    if not (made / MANIFEST).is_file():
        raise SdiwmError(f"--runs: {run} holds no finished world-action model: train it first")
    linked = folder / f"{len(list(folder.iterdir()))}"
    linked.mkdir()
    for path in bundle.iterdir():
        if path.is_file():
            (linked / path.name).symlink_to(path.resolve())
    (linked / FOLDER).symlink_to(made.resolve())
    return linked


def watch(task: Task, bundle: Path, trial: Trial) -> Seen:
    """What a world-action model sees, a model step at a time, while the oracle does the trial."""
    runtime = load_runtime(bundle, "wam")
    task.reset(trial.layout, trial.goal, trial.instruction)
    observer, c = runtime.make_observer(), condition(runtime, task)
    observations = []
    while task.time < task.time_limit - 1e-9 and not task.outcome().success:
        observer.see(task.render(runtime.manifest.sizes.image_size))
        observations.append(observer.latent(task.proprio()))
        for _ in range(task.ticks_per_step):
            task.step(task.expert_action())
    return Seen(np.stack(observations), c)


def _settings(runtime: Runtime, candidates: int | None) -> PlannerSettings:
    own = runtime.manifest.planner
    return own if candidates is None else replace(own, candidates=candidates)
