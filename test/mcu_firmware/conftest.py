"""The compiled engines, called with integers, beside the integer reference."""

import ctypes

import numpy as np
import pytest

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.export.codegen import generate
from sdiwm_model.runtime.build import build_library, instruction_sets
from sdiwm_model.runtime.native import Library, aligned_bytes


class IntegerEngine:
    """One instruction set of a built library, with int arrays in and out."""

    def __init__(self, library, model):
        self.library, self.model = library, model
        self._work = aligned_bytes(library.workspace_bytes())

    def fuse(self, x):
        z = np.empty(self.model.latent, np.int16)
        self.library.fuse(x.ctypes.data, z.ctypes.data)
        return z

    def rollout(self, goal, z, actions):
        n, horizon = actions.shape[:2]
        path = np.empty((n, horizon, self.model.latent), np.int16)
        buffer = goal.to_bytes()
        self.library.rollout(
            buffer, z.ctypes.data, actions.ctypes.data, n, horizon,
            path.ctypes.data, self._work.ctypes.data,
        )  # fmt: skip
        return path

    def heads(self, goal, z):
        cost, value = np.empty(len(z), np.int32), np.empty(len(z), np.int32)
        self.library.heads(
            goal.to_bytes(), z.ctypes.data, len(z),
            cost.ctypes.data, value.ctypes.data, self._work.ctypes.data,
        )  # fmt: skip
        return cost, value

    def prior(self, goal, z, horizon):
        actions = np.empty((horizon, self.model.action), np.int16)
        self.library.prior(goal.to_bytes(), z.ctypes.data, horizon, actions.ctypes.data)
        return actions

    def plan(self, goal, z, warm_start, integers):
        """-> new mean, best cost, costs and actions of the last iteration."""
        integers.cold = int(warm_start is None)
        if warm_start is None:  # what lies in the buffer must not matter
            mean = np.full((integers.horizon, self.model.action), 12345, np.int16)
        else:
            mean = np.ascontiguousarray(warm_start).copy()
        settings = ctypes.addressof(integers)
        best = self.library.plan(
            goal.to_bytes(), settings, z.ctypes.data, mean.ctypes.data, self._work.ctypes.data
        )
        costs = np.empty(integers.candidates, np.int32)
        actions = np.empty((integers.candidates, *mean.shape), np.int8)
        self.library.candidates(
            settings, self._work.ctypes.data, costs.ctypes.data, actions.ctypes.data
        )
        return mean, best, costs, actions

    def rollout_cost(self, goal, z, actions, integers):
        costs = np.empty(len(actions), np.int32)
        self.library.rollout_cost(
            goal.to_bytes(), ctypes.addressof(integers), z.ctypes.data, actions.ctypes.data,
            len(actions), costs.ctypes.data, self._work.ctypes.data,
        )  # fmt: skip
        return costs


def _engine(model, isa):
    path = build_library(generate(model))
    best = Library(path).isa
    order = instruction_sets()
    if order.index(isa) > order.index(best):
        pytest.skip(f"this processor has no {isa}")
    return IntegerEngine(Library(path, isa), model)


@pytest.fixture(scope="session", params=instruction_sets())
def engine(request, quantised):
    return _engine(quantised, request.param)


@pytest.fixture(scope="session", params=instruction_sets())
def hostile_engine(request, hostile):
    return _engine(hostile, request.param)


@pytest.fixture(scope="session", params=instruction_sets())
def prior_engine(request, quantised_with_prior):
    return _engine(quantised_with_prior, request.param)


@pytest.fixture(scope="session", params=instruction_sets())
def hostile_prior_engine(request, hostile_with_prior):
    return _engine(hostile_with_prior, request.param)


@pytest.fixture(
    scope="session",
    params=[(isa, *model) for model in ((1, 5), (2, 0), (9, 2)) for isa in instruction_sets()],
    ids=lambda p: f"{p[0]}-{p[1]}-actions",
)
def odd_width_engine(request, hostile_of):
    """Engines of 1, 2 and 9 actions; two of the models have a policy prior."""
    isa, action, plan_horizon = request.param
    return _engine(hostile_of(action, plan_horizon), isa)


@pytest.fixture(scope="session", params=instruction_sets())
def wide_engine(request, hostile_of):
    """As wide as the size `full`: no buffer is small, every sum is as long as it gets."""
    model = hostile_of(4, latent=256, hidden=256, head=256, fusion=(512, 256))
    return _engine(model, request.param)


@pytest.fixture(scope="session")
def both_plans():
    """Plan by the engine and by the reference from the same start, checking every integer."""

    def compare(engine, settings, seed, goal, z, warm_start, plans=2):
        reference = IntegerMppi(engine.model, settings, seed)
        mean = warm_start
        for _ in range(plans):
            number = reference.integers.plan
            start, prior = reference.start(goal, z, mean)
            actions = reference.candidates(start, prior, settings.iterations - 1)
            integers = type(reference.integers).from_buffer_copy(reference.integers)
            expected, best, costs = reference.plan(goal, z, mean)
            got, got_best, got_costs, got_actions = engine.plan(goal, z, mean, integers)
            assert reference.integers.plan == number + 1
            if settings.iterations == 1:
                np.testing.assert_array_equal(got_actions, actions)
            np.testing.assert_array_equal(got_costs, costs)
            np.testing.assert_array_equal(got, expected)
            assert got_best == best
            mean = expected

    return compare
