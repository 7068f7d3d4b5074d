"""Many closed-loop episodes of one controller, and what is counted of them.

Layout seeds of trials start at 10**17: collected episodes (seed * 1,000,000 + index, seed up to
10**10) never reach there, so no trial was ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.report import bootstrap_interval, distribution, rate
from sdiwm_sim.closed_loop import Controller, run_episode
from sdiwm_sim.task import Outcome, Task

FIRST_LAYOUT = 10**17
TRIALS_PER_SEED = 1_000_000
SPLITS = ("train", "heldout")


@dataclass(frozen=True)
class Trial:
    """One episode to run: layout seed, named target and sentence."""

    seed: int
    layout: int
    goal: int
    instruction: str


@dataclass(frozen=True)
class Result:
    """What came of a trial; ``refused``: the sentence was taken for one that names no target."""

    trial: Trial
    outcome: Outcome
    refused: bool = False


def layout_seed(seed: int, index: int) -> int:
    """The layout of trial ``index`` of ``seed``, which no training episode has."""
    return FIRST_LAYOUT + seed * TRIALS_PER_SEED + index


def draw_trials(task: Task, seeds: Sequence[int], episodes: int, split: str) -> list[Trial]:
    """``episodes`` trials of each seed; layouts and targets are those of the other split too.

    Args:
        split: "train" or "heldout", where the sentences come from.
    """
    if split not in SPLITS:
        raise SdiwmError(f"unknown instructions '{split}': choose one of {', '.join(SPLITS)}")
    if not 1 <= episodes <= TRIALS_PER_SEED:
        raise SdiwmError(f"--episodes is {episodes}: use 1 to {TRIALS_PER_SEED}")
    trials = []
    for seed in seeds:
        for index in range(episodes):
            layout = layout_seed(seed, index)
            rng = np.random.default_rng([layout, 4])
            goal = int(rng.integers(len(task.goals)))
            trials.append(Trial(seed, layout, goal, _sentence(task, goal, split, rng)))
    return trials


def _sentence(task: Task, goal: int, split: str, rng: np.random.Generator) -> str:
    """One of the split's sentences for ``goal``; none where goals are shown in pictures."""
    if task.goal_modality == "image":
        return ""
    train = split == "train"
    sentences = task.train_instructions(goal) if train else task.heldout_instructions(goal)
    return sentences[int(rng.integers(len(sentences)))]


def run_trials(
    task: Task,
    controller: Controller,
    trials: Sequence[Trial],
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run every trial; a refused sentence is a failure."""
    results = []
    for trial in trials:
        try:
            outcome = run_episode(task, controller, trial.layout, trial.goal, trial.instruction)
            result = Result(trial, outcome)
        except InstructionError:
            result = Result(trial, Outcome(False, False, False, None), refused=True)
        results.append(result)
        on_result(result)
    return results


def counts(results: Sequence[Result]) -> dict[str, object]:
    """Rates over trials: success, wrong_target, passed_over_wrong, refused; time in seconds.

    Where the task has an episode return also `return`: its mean over episodes, with the 95 %
    bootstrap interval.
    """
    outcomes = [result.outcome for result in results]
    times = [o.time_to_success for o in outcomes if o.time_to_success is not None]
    figures: dict[str, object] = {
        "success": rate(sum(o.success for o in outcomes), len(outcomes)),
        "wrong_target": rate(sum(o.wrong_target for o in outcomes), len(outcomes)),
        "passed_over_wrong": rate(sum(o.passed_over_wrong for o in outcomes), len(outcomes)),
        "refused": rate(sum(r.refused for r in results), len(results)),
        "time_to_success_s": distribution(times),
    }
    if any(o.total_reward is not None for o in outcomes):
        scores = rewards(results)
        figures["return"] = {
            "mean": float(scores.mean()),
            "ci95": bootstrap_interval(scores, results[0].trial.seed),
            "n": len(scores),
        }
    return figures


def per_seed(results: Sequence[Result]) -> dict[str, object]:
    """`counts` of each seed."""
    seeds = sorted({result.trial.seed for result in results})
    return {str(s): counts([r for r in results if r.trial.seed == s]) for s in seeds}


def successes(results: Sequence[Result]) -> NDArray[np.float64]:
    """1 where a trial succeeded, 0 where not, (n,)."""
    return np.array([result.outcome.success for result in results], np.float64)


def rewards(results: Sequence[Result]) -> NDArray[np.float64]:
    """Each trial's sum of rewards, (n,); a refused sentence earns nothing."""
    return np.array([result.outcome.total_reward or 0.0 for result in results], np.float64)
