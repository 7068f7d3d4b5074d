"""How large a plan a microcontroller makes."""

from dataclasses import replace

import pytest

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.mcu import MACS_OF_PLAN, fitting
from sdiwm_model.sizes import ModelSize

ASKED = PlannerSettings(candidates=512, horizon=16, iterations=3)


def fitted(random_bundle, size, settings=ASKED):
    manifest = replace(read_manifest(random_bundle), sizes=size, planner=settings)
    found = fitting(manifest)
    return found.candidates, found.horizon, found.iterations


def test_without_a_prior_the_chip_plans_all_that_it_holds(random_bundle):
    assert fitted(random_bundle, ModelSize(prior=0)) == (64, 16, 1)


@pytest.mark.parametrize(("dynamics", "latent"), [(40, 16), (64, 24), (64, 32), (96, 32)])
def test_with_a_prior_it_plans_what_its_time_allows(random_bundle, dynamics, latent):
    size = ModelSize(prior=32, dynamics=dynamics, latent=latent)
    candidates, horizon, iterations = fitted(random_bundle, size)
    assert (horizon, iterations) == (12, 1)
    macs = candidates * horizon * size.macs_per_model_step
    assert candidates == 16 or macs <= MACS_OF_PLAN
    larger = (candidates + 16) * horizon * size.macs_per_model_step
    assert candidates == 64 or larger > MACS_OF_PLAN


def test_it_never_plans_more_than_the_bundle_does(random_bundle):
    few = PlannerSettings(candidates=6, horizon=3)
    assert fitted(random_bundle, ModelSize(prior=32), few) == (6, 3, 1)


def test_smaller_models_plan_more(random_bundle):
    found = [
        fitted(random_bundle, ModelSize(prior=32, dynamics=width, latent=24))[0]
        for width in (256, 96, 48, 24)
    ]
    assert found == sorted(found)
    assert found[0] == 16 < found[-1]
