"""Whether words have consequences: the same start under two sentences that ask for opposite things.

Imagined: the planner drives its own model, which never sees a picture again, and the last latent
is read by the probe and put into the simulator to be looked at. Real: the same two sentences in
closed loop.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings, shift_plan
from sdiwm_model.runtime.history import FeatureHistory
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_sim.closed_loop import Controller, run_episode
from sdiwm_sim.task import Array, Task
from sdiwm_sim.tasks import instructions, push_instructions
from sdiwm_sim.trials import layout_seed

KINDS = ("plain", "heldout", "swapped")
HELDOUT_UNRELATED: dict[str, Callable[[], Sequence[str]]] = {
    "reach": instructions.heldout_unrelated_instructions,
    "push": push_instructions.heldout_unrelated_instructions,
}


@dataclass(frozen=True)
class Pair:
    """One start and two sentences: ``sentences[i]`` asks for ``goals[i]``."""

    layout: int
    goals: tuple[int, int]
    sentences: tuple[str, str]


@dataclass(frozen=True)
class Ends:
    """What became of a pair.

    own      whether each run ended nearer to its own goal (imagined) or in success (real)
    other    the same of the other sentence's goal
    reached  whether each run came as close to its own goal as a scripted robot must; real: success
    apart    metres between the fingertips of the two ends
    """

    own: tuple[bool, bool]
    other: tuple[bool, bool]
    reached: tuple[bool, bool]
    apart: float

    @property
    def followed(self) -> bool:
        """Both runs went where their sentence says, and nowhere else."""
        return all(self.own) and not any(self.other)


def draw_pairs(task: Task, seeds: Sequence[int], episodes: int, kind: str) -> list[Pair]:
    """``episodes`` pairs of each seed; starts and goals are the same for every kind.

    Args:
        kind: "plain" (the plainest sentences), "heldout" (paraphrases never trained on), or
            "swapped": a held-out sentence that speaks of both goals, and the same with the two
            words exchanged.

    Raises:
        SdiwmError: the task has one goal, shows its goals in pictures, or has no such sentences.
    """
    if len(task.goals) < 2 or task.goal_modality != "words":
        raise SdiwmError(f"task {task.name}: no two sentences ask for opposite things")
    pairs = []
    for seed, index in itertools.product(seeds, range(episodes)):
        layout = layout_seed(seed, index)
        rng = np.random.default_rng([layout, 5])
        a, b = (int(goal) for goal in rng.choice(len(task.goals), 2, replace=False))
        pairs.append(Pair(layout, (a, b), _sentences(task, a, b, kind, rng)))
    return pairs


def _sentences(task: Task, a: int, b: int, kind: str, rng: np.random.Generator) -> tuple[str, str]:
    if kind == "plain":
        return task.train_instructions(a)[0], task.train_instructions(b)[0]
    if kind == "heldout":
        first, second = (task.heldout_instructions(goal) for goal in (a, b))
        return first[int(rng.integers(len(first)))], second[int(rng.integers(len(second)))]
    both = [s for s in task.heldout_instructions(a) if swap(s, task.goals[a], task.goals[b]) != s]
    both = [s for s in both if re.search(rf"\b{task.goals[b]}\b", s)]
    if not both:
        raise SdiwmError(f"task {task.name}: no held-out sentence speaks of two goals")
    chosen = both[int(rng.integers(len(both)))]
    return chosen, swap(chosen, task.goals[a], task.goals[b])


def swap(sentence: str, a: str, b: str) -> str:
    """``sentence`` with the words ``a`` and ``b`` exchanged."""
    other = {a: b, b: a}
    return re.sub(rf"\b({re.escape(a)}|{re.escape(b)})\b", lambda m: other[m.group()], sentence)


def observe(task: Task, runtime: Runtime) -> Array:
    """The latent (Z,) of what the task shows now, standing still."""
    picture = task.render(runtime.manifest.sizes.image_size)
    history = FeatureHistory(runtime.manifest.sizes.frames)
    return runtime.fuse(history.add(runtime.encode_image(picture)), task.proprio())


def imagined_course(
    runtime: Runtime, settings: PlannerSettings, z: Array, c: Array, steps: int, seed: int
) -> Array:
    """Latents (steps, Z) of a closed loop in which the model takes the world's place."""
    planner = runtime.make_planner(settings, seed)
    latents, warm_start = [], None
    for _ in range(steps):
        plan = planner.plan(z, c, warm_start).actions
        z = runtime.rollout(z, plan[:1], c)[0]
        latents.append(z)
        warm_start = shift_plan(plan, 1.0)
    return np.stack(latents)


def imagined_ends(
    task: Task, runtime: Runtime, pair: Pair, conditionings: Sequence[Array], steps: int
) -> Ends:
    """The pair's two imagined ends; each is nearer to its own goal or to the other one."""
    task.reset(pair.layout, pair.goals[0])
    z = observe(task, runtime)
    still = np.zeros_like(task.proprio())
    own, other, reached, tips = [], [], [], []
    settings, seed = runtime.manifest.planner, pair.layout % 2**32
    for c, goal, rival in zip(conditionings, pair.goals, pair.goals[::-1], strict=True):
        course = imagined_course(runtime, settings, z, c, steps, seed)
        task.restore(runtime.probe(course[-1]), still)
        costs = task.goal_costs()
        own.append(costs[goal] < costs[rival])
        other.append(costs[goal] > costs[rival])
        reached.append(task.arrived(goal))
        tips.append(task.fingertip())
    return _ends(own, other, reached, tips)


def real_ends(task: Task, controller: Controller, pair: Pair) -> Ends:
    """The pair's two runs in closed loop; a refused sentence leaves the robot where it is."""
    own, other, tips = [], [], []
    for goal, sentence in zip(pair.goals, pair.sentences, strict=True):
        try:
            outcome = run_episode(task, controller, pair.layout, goal, sentence)
            own.append(outcome.success)
            other.append(outcome.wrong_target)
        except InstructionError:
            own.append(False)
            other.append(False)
        tips.append(task.fingertip())
    return _ends(own, other, own, tips)


def _ends(
    own: Sequence[bool], other: Sequence[bool], reached: Sequence[bool], tips: Sequence[Array]
) -> Ends:
    return Ends(
        (bool(own[0]), bool(own[1])),
        (bool(other[0]), bool(other[1])),
        (bool(reached[0]), bool(reached[1])),
        float(np.linalg.norm(tips[0] - tips[1])),
    )


@dataclass(frozen=True)
class Grounding:
    """Sentences by what c they get: the plainest one of each goal stands for the goal.

    accuracy            share of sentences whose c is nearest to their own goal's, none refused
    refused             share of sentences that were refused
    cosine_to_own       mean cosine of c with the c of their own goal; of those not refused
    cosine_to_others    the same with that of every other goal
    """

    accuracy: float
    refused: float
    cosine_to_own: float
    cosine_to_others: float


def ground(
    conditionings: Sequence[Array | None], goals: Sequence[int], plain: Sequence[Array]
) -> Grounding:
    """What sentences were understood as.

    Args:
        conditionings: c (C,) of each sentence, None where it was refused.
        goals: the goal that each asks for.
        plain: c of the plainest sentence of every goal.
    """
    codes = np.stack(plain) / np.linalg.norm(plain, axis=1, keepdims=True)
    kept = [(c, goal) for c, goal in zip(conditionings, goals, strict=True) if c is not None]
    if not kept:
        return Grounding(0.0, 1.0, float("nan"), float("nan"))
    cosines = np.stack([codes @ c / np.linalg.norm(c) for c, _ in kept])
    own = np.eye(len(codes), dtype=bool)[[goal for _, goal in kept]]
    right = cosines.argmax(axis=1) == own.argmax(axis=1)
    return Grounding(
        accuracy=float(right.sum() / len(goals)),
        refused=1 - len(kept) / len(goals),
        cosine_to_own=float(cosines[own].mean()),
        cosine_to_others=float(cosines[~own].mean()),
    )


def understand(runtime: Runtime, sentence: str) -> Array | None:
    """c (C,) of a sentence, None where it is refused."""
    try:
        return runtime.condition(sentence)
    except InstructionError:
        return None


def words_in_transition(
    runtime: Runtime, starts: Array, plain: Sequence[Array], steps: int, seed: int
) -> NDArray[np.float64]:
    """How much the words alone change what the model predicts, for k = 1..steps: (steps,).

    The same random actions from the same latents (N, Z) under two goals' c: the mean distance of
    the two predictions, over the mean distance that they have come.
    """
    rng = np.random.default_rng(seed)
    apart, moved = np.zeros(steps), np.zeros(steps)
    for z in starts:
        a, b = rng.choice(len(plain), 2, replace=False)
        actions = rng.uniform(-1, 1, (steps, runtime.manifest.sizes.action)).astype(np.float32)
        first, second = (runtime.rollout(z, actions, plain[goal]) for goal in (a, b))
        apart += np.linalg.norm(first - second, axis=1)
        moved += np.linalg.norm(first - z, axis=1)
    return apart / moved
