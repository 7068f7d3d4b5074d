"""The cost of a world-action model: counted, compared, and the same over a whole episode."""

import numpy as np
import pytest

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.evaluation import wam_cost
from sdiwm_model.wam.checkpoint import read_wam_manifest
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.switches import UNOPTIMISED, Switches


@pytest.fixture(scope="module")
def manifest(wam_bundle):
    return read_wam_manifest(wam_bundle, read_manifest(wam_bundle))


@pytest.fixture(scope="module")
def seen(manifest):
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((7, manifest.size.observation), dtype=np.float32)
    return wam_cost.Seen(observations, np.zeros(manifest.size.conditioning, np.float32))


@pytest.fixture(scope="module")
def engine(wam_bundle):
    return wam_cost.open_engine(wam_bundle, Switches())


def test_each_switch_is_measured_alone_and_all_together(manifest):
    found = wam_cost.variants(manifest)
    off = vars(UNOPTIMISED)
    alone = [
        {key for key, value in vars(each.switches).items() if value != off[key]}
        for each in found.values()
        if each.steps == wam_cost.SYMMETRIC
    ]
    changed = [next(iter(names)) for names in alone if len(names) == 1]
    assert set(changed) == set(off) - {"one_step"}, "one_step needs a model that was distilled"
    assert found["together: exact switches, asymmetric steps"].steps == manifest.steps


def test_more_steps_take_more_products(wam_bundle, seen):
    found = wam_cost.products(wam_bundle, seen, [StepPair(1, 1), StepPair(10, 10)])
    few, many = found["macs"].values()
    assert 3 * few < many < 20 * few
    assert found["parameters"] > 1000


def test_a_pair_that_takes_more_steps_takes_more_time(engine, seen):
    pairs = {"few": StepPair(0, 1, "policy"), "many": StepPair(10, 10)}
    times = wam_cost.pair_costs(engine, pairs, seen, 0.05, 0)
    assert times["few"]["p50"] < times["many"]["p50"]


def test_a_long_episode_ends_in_the_chunk_of_one_that_saw_its_end_alone(engine, seen):
    found = wam_cost.streaming(engine, seen, StepPair(0, 1, "policy"), 60)
    assert found["away_from_fresh"] < 1e-4
    assert list(found["resident_mb"]) == [6, 60]
