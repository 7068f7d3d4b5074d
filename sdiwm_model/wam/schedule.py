"""Which expert runs in which pass of one chunk: the asymmetric denoising of two modalities."""

from __future__ import annotations

from dataclasses import dataclass

from sdiwm_model.wam.protocols import StepPair

FEW = 4  # action steps that a few-step head is taught; more are plain short ones


@dataclass(frozen=True)
class Pass:
    """One run through one expert or both; the other one's keys and values are its last ones.

    video_time, action_time    of what is read, None where that expert does not run
    video_step, action_step    how far the velocity is followed; 0 reads keys and values only
    """

    video_time: float | None
    action_time: float | None
    video_step: float = 0.0
    action_step: float = 0.0

    @property
    def action_share(self) -> float:
        """How far the step goes of the way from where the actions are to where they are clean."""
        return self.action_step / (1.0 - (self.action_time or 0.0))

    @property
    def long_step(self) -> float:
        """How far a few-step head is told that its velocity will be followed; 0 if not far."""
        return self.action_step if round(FEW * self.action_step, 6) >= 1.0 else 0.0


def passes(steps: StepPair) -> list[Pass]:
    """The passes of a chunk, t from 0 (noise) to 1 (data).

    policy    A action passes that see no future.
    prefill   the first action pass runs both experts, the future being noise; later ones reuse it.
    inverse   V video passes that see no actions, then A action passes that see the clean future.
    joint     pass i of max(V, A): a video step while i < V, an action step in the last A of them,
              so that the future never lags behind the actions. Once it is clean, one pass more
              reads it, and its keys and values stay.
    """
    V, A = steps.video, steps.action
    if steps.mode == "policy":
        return [Pass(None, i / A, 0.0, 1 / A) for i in range(A)]
    if steps.mode == "inverse":
        first = [Pass(j / V, None, 1 / V) for j in range(V)]
        return first + [Pass(None if i else 1.0, i / A, 0.0, 1 / A) for i in range(A)]
    if steps.mode == "prefill":
        return [Pass(None if i else 0.0, i / A, 0.0, 1 / A) for i in range(A)]
    return [_joint(i, max(V, A) - A, V, A) for i in range(max(V, A))]


def _joint(i: int, idle: int, V: int, A: int) -> Pass:
    """Pass i of a joint chunk whose actions wait for ``idle`` passes."""
    seen = i / V if i < V else 1.0 if i == V else None
    acting = i >= idle
    return Pass(
        seen,
        (i - idle) / A if acting else None,
        1 / V if i < V else 0.0,
        1 / A if acting else 0.0,
    )
