"""What counts as safe, stale and recovered, on commands written down by hand."""

import numpy as np
import pytest

from sdiwm_ros.faults.measure import Answer, Heard, Trial, summary
from sdiwm_ros.signals import CommandKind


def heard(at_ms, kind, speed=1.0, age_ms=5.0):
    return Heard(at_ms / 1000, CommandKind(kind), np.array([speed, 0.1 * speed]), age_ms / 1000)


PLAN, FALLBACK, HOLD, SAFE = "plan", "fallback", "hold", "safe"
MOVING = [heard(at, PLAN) for at in range(0, 300, 4)]
STOP = [heard(305, HOLD, 0.5), heard(310, HOLD, 0.0), heard(360, SAFE, 0.0)]
AFTER = [heard(at, PLAN) for at in range(700, 800, 4)]


def trial(commands, answer=Answer.STOP, **changes):
    """A fault from 100 ms to 600 ms with a timeout of 0.2 s."""
    given = {"injected": 0.1, "cleared": 0.6, "timeout": 0.2, "oldest": 0.1, "detected_at": 0.3}
    return Trial(**given | {"recovered_at": 0.9} | changes, answer=answer, commands=commands)


def test_a_stop_is_measured_from_the_faults_own_timeout():
    stopped = trial([*MOVING, *STOP, *AFTER])
    assert stopped.safe_after == pytest.approx(0.005)
    assert stopped.safe
    assert stopped.stale_actions == 0


def test_a_stop_that_comes_too_late_is_not_safe():
    late = [heard(at, PLAN) for at in range(0, 404, 4)]
    assert not trial([*late, heard(405, HOLD, 0.0), *AFTER]).safe


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ([], "no stop"),
        (
            [heard(305, HOLD, 0.5), heard(310, HOLD, 0.6), heard(315, HOLD, 0.0)],
            "a joint got faster 5 ms into the stop",
        ),
        ([heard(305, HOLD, 0.5), heard(310, HOLD, 0.4)], "not at rest at the end"),
    ],
)
def test_what_does_not_slow_down_to_rest_is_not_safe(stop, words):
    unsafe = trial([*MOVING, *stop, *AFTER])
    assert unsafe.safe_after is None
    assert unsafe.complaints == [words]


def test_an_action_between_the_stop_and_the_end_of_the_fault_is_stale():
    again = [heard(400, FALLBACK), heard(404, PLAN)]
    assert trial([*MOVING, *STOP, *again, heard(408, HOLD, 0.0), *AFTER]).stale_actions == 2


@pytest.mark.parametrize("age_ms", [150.0, -50.0])
@pytest.mark.parametrize("answer", Answer)
def test_an_action_of_an_observation_out_of_time_is_stale_even_after_the_fault(age_ms, answer):
    commands = [*MOVING, *STOP, heard(620, PLAN, 1.0, age_ms), *AFTER]
    assert trial(commands, answer).stale_actions == 1


def test_a_fault_that_is_survived_is_measured_by_the_longest_time_without_a_fresh_plan():
    gap = [heard(at, PLAN) for at in (*range(0, 200, 4), *range(450, 650, 4))]
    gap += [heard(at, FALLBACK) for at in range(200, 450, 4)]
    survived = trial(gap, Answer.SURVIVE, timeout=0.0)
    assert survived.safe_after == pytest.approx(0.254, abs=1e-6)
    assert not survived.safe
    assert trial(gap, Answer.SURVIVE, timeout=0.2).safe


def test_a_summary_counts_what_was_detected_safe_and_recovered():
    good = trial([*MOVING, *STOP, *AFTER])
    bad = trial([*MOVING, *AFTER], detected_at=None, recovered_at=None)
    figures = summary([good, bad])
    assert [figures[key] for key in ("trials", "detected", "safe", "recovered")] == [2, 1, 1, 1]
    assert figures["safe_within_ms"]["max"] == pytest.approx(5.0)
    assert figures["detected_after_ms"]["n"] == 1
    assert figures["failures"] == {"1": "nobody noticed it; no stop; the graph did not recover"}
    assert figures["recovered_after_ms"]["max"] == pytest.approx(300)
    assert figures["timeout_ms"] == 200
