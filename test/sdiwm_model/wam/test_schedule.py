"""Which expert runs when, and how often."""

import pytest

from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.schedule import Pass, passes


def runs(steps):
    """Passes of the video expert, and of the action expert."""
    plan = passes(steps)
    seen = sum(p.video_time is not None for p in plan)
    return seen, sum(p.action_time is not None for p in plan)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (StepPair(0, 4, "policy"), (0, 4)),
        (StepPair(0, 4, "prefill"), (1, 4)),
        (StepPair(1, 1), (1, 1)),
        (StepPair(1, 4), (2, 4)),
        (StepPair(10, 10), (10, 10)),
        (StepPair(10, 1), (10, 1)),
        (StepPair(2, 4, "inverse"), (3, 4)),
    ],
    ids=str,
)
def test_the_video_expert_runs_no_more_than_it_must(steps, wanted):
    assert runs(steps) == wanted


@pytest.mark.parametrize("video", [1, 2, 10])
@pytest.mark.parametrize("action", [1, 2, 4, 10])
def test_in_joint_denoising_the_future_never_lags_behind_the_actions(video, action):
    last = 0.0
    for each in passes(StepPair(video, action)):
        last = last if each.video_time is None else each.video_time
        if each.action_time is not None:
            assert last >= each.action_time - 1e-9


def test_the_symmetric_pair_moves_both_together():
    plan = passes(StepPair(2, 2))
    assert plan == [Pass(0.0, 0.0, 0.5, 0.5), Pass(0.5, 0.5, 0.5, 0.5)]


def test_inverse_dynamics_sees_the_whole_future_before_it_acts():
    plan = passes(StepPair(2, 2, "inverse"))
    assert plan[:2] == [Pass(0.0, None, 0.5), Pass(0.5, None, 0.5)]
    assert plan[2:] == [Pass(1.0, 0.0, 0.0, 0.5), Pass(None, 0.5, 0.0, 0.5)]
