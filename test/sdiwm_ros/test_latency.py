import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_ros.latency import LatencyCompensation
from sdiwm_ros.signals import Latent

MS = 1_000_000
STEP = 0.04
LIMIT = np.array([2.0, 0.5])
C = np.zeros(4, np.float32)


class Integrator:
    """z moves by `action * STEP` in a model step: what a compensation must foretell is known."""

    def rollout(self, z, actions, c):
        return z + np.cumsum(np.float32(STEP) * actions, axis=0)


def make(latency, actuation=0.0):
    compensation = LatencyCompensation(Integrator(), LIMIT, STEP, actuation, 0.1, lambda: None)
    compensation.answered(latency - actuation)
    return compensation


Z = np.array([0.1, -0.2], np.float32)
STAMP = 10**18


def test_without_a_latency_the_latent_stays_as_it_is():
    start = make(0.0).start(Latent(Z, STAMP), C)
    np.testing.assert_array_equal(start.z, Z)
    assert start.at_ns == STAMP


@pytest.mark.parametrize("latency", [0.003, 0.01, 0.04, 0.05, 0.1])
def test_the_latent_moves_on_by_the_latency_with_the_command_in_force(latency):
    compensation = make(latency)
    compensation.sent(np.array([1.0, -0.5]), STAMP - 100 * MS)
    start = compensation.start(Latent(Z, STAMP), C)
    np.testing.assert_allclose(start.z, Z + latency * np.array([0.5, -1.0]), atol=1e-6)
    assert start.at_ns == STAMP + round(latency * 1e9)


@settings(max_examples=60, deadline=None)
@given(
    latency=st.floats(0.002, 0.1),
    actuation=st.floats(-0.004, 0.02),
    commands=st.lists(st.tuples(st.integers(-60, 90), st.floats(-2, 2)), max_size=30),
)
def test_every_command_counts_for_as_long_as_it_acts(latency, actuation, commands):
    compensation = make(latency, actuation)
    commands = sorted(commands)
    for at_ms, velocity in commands:
        compensation.sent(np.array([velocity, 0.0]), STAMP + at_ms * MS)
    latency = compensation.latency
    edges = [at_ms * 1e-3 + actuation for at_ms, _ in commands] + [np.inf]
    moved = sum(
        velocity / LIMIT[0] * max(0.0, min(end, latency) - max(begin, 0.0))
        for (_, velocity), begin, end in zip(commands, edges, edges[1:], strict=False)
    )
    start = compensation.start(Latent(Z, STAMP), C)
    assert start.z[0] - Z[0] == pytest.approx(moved, abs=2e-6)


@settings(max_examples=200, deadline=None)
@given(latency=st.floats(0.0, 0.1), at_ms=st.floats(-100, 100))
def test_a_latent_that_is_moved_on_is_always_finite(latency, at_ms):
    compensation = make(latency)
    compensation.sent(np.array([1.0, 1.0]), STAMP + int(at_ms * MS))
    assert np.isfinite(compensation.start(Latent(Z, STAMP), C).z).all()


def test_before_any_command_the_robot_is_taken_to_rest():
    np.testing.assert_allclose(make(0.05).start(Latent(Z, STAMP), C).z, Z)


def test_the_measured_latency_settles_on_what_is_measured_and_is_bounded():
    compensation = make(0.002)
    for _ in range(500):
        compensation.answered(0.03)
    assert compensation.latency == pytest.approx(0.03, abs=1e-3)
    for _ in range(500):
        compensation.answered(60.0)
    assert compensation.latency == pytest.approx(0.1, abs=1e-3)


def test_a_robot_that_acts_before_it_is_told_has_no_latency():
    assert make(0.0, actuation=-0.002).latency == 0.0
