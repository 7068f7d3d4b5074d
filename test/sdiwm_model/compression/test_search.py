"""Ranges chosen by drift and ranking."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sdiwm_model.compression import search
from sdiwm_model.compression.activations import Rollouts
from sdiwm_model.compression.judge import Judge, rank_correlation, regret
from sdiwm_model.compression.proposals import Proposals, imagined_control
from sdiwm_model.compression.quantise import quantise
from sdiwm_model.compression.ranges import CANDIDATES, Ranges
from sdiwm_model.evaluation.dequantise import dequantised_dynamics
from sdiwm_model.evaluation.lipschitz import certified_bound
from sdiwm_model.lipschitz import LipschitzConstraint
from sdiwm_model.planning.protocols import PlannerSettings


@pytest.fixture(scope="module")
def small(calibration):
    return replace(
        calibration, latents=calibration.latents[:16], actions=calibration.actions[:16, :8]
    )


@pytest.fixture(scope="module")
def lopsided(float_weights):
    """One hidden channel is loud and hardly heard: with one range for all, the others are deaf."""
    weights = {name: w.copy() for name, w in float_weights.items()}
    for part in ("weight", "bias"):
        weights[f"dynamics.input.{part}"][3] *= 40
    weights["dynamics.gru_input.weight"][:, 3] /= 40
    return weights


def test_rank_correlation_and_regret_of_known_orders():
    true = np.array([[0.0, 1.0, 2.0, 3.0]] * 3)
    costs = np.array([[0.1, 0.2, 0.3, 9.0], [9.0, 0.3, 0.2, 0.1], [0.3, 0.1, 0.4, 0.5]])
    np.testing.assert_allclose(rank_correlation(costs, true), [1, -1, 0.8])
    np.testing.assert_allclose(regret(costs, true), [0, 2, 2 / 3])


def test_integer_costs_of_candidates_are_near_the_float_models(
    float_weights, calibration, quantised
):
    rollouts = Rollouts.draw(calibration, 0)
    candidates = rollouts.actions[:40, :6].reshape(8, 5, 6, 4)
    sets = Proposals(rollouts.starts[:8], candidates, rollouts.conditionings[:8])
    ours, true = sets.integer_costs(quantised, 0.5), sets.float_costs(float_weights, 0.5)
    assert ours.shape == true.shape == (8, 5)
    assert np.abs(ours - true).max() < 0.1 * true.std()
    one = Proposals(sets.latents[3:4], sets.actions[3:4, 2:3], sets.conditionings[3:4])
    np.testing.assert_allclose(one.float_costs(float_weights, 0.5)[0, 0], true[3, 2], rtol=1e-4)


def test_imagined_control_lowers_the_imagined_cost(float_weights, calibration, quantised):
    starts = Rollouts.draw(replace(calibration, actions=calibration.actions[:, :12]), 0)
    starts = starts.some(slice(0, None, 16))
    planned, sets = imagined_control(quantised, starts, PlannerSettings(), 0)
    assert planned.actions.shape == starts.actions.shape
    assert sets.actions.shape == (3 * len(starts.starts), 16, 12, 4)

    def cost(rollouts):
        whole = Proposals(rollouts.starts, rollouts.actions[:, None], rollouts.conditionings)
        return whole.float_costs(float_weights, 1.0).mean()

    assert cost(planned) < cost(starts)


def test_the_search_makes_the_integers_better_than_the_ranges_it_starts_from(lopsided, small):
    chosen = search.quantise_for_control(lopsided, small, PlannerSettings(), 0)
    assert chosen.ranges.alike < Ranges().alike or chosen.ranges.hidden != Ranges().hidden
    assert chosen.after[0].total < 0.8 * chosen.before[0].total
    unseen = Rollouts.draw(small, 5)
    _, sets = imagined_control(quantise(lopsided, small), unseen, PlannerSettings(), 7)
    judge = Judge.of(lopsided, unseen, sets.some(12, 0), 1.0)
    assert judge(chosen.model).total < judge(quantise(lopsided, small)).total


def test_the_search_is_deterministic_and_tells_what_it_chose(float_weights, small, monkeypatch):
    monkeypatch.setattr(search, "CANDIDATES", {"alike": CANDIDATES["alike"]})
    first, again = (
        search.quantise_for_control(float_weights, small, PlannerSettings(), 0) for _ in range(2)
    )
    assert first.describe() == again.describe()
    assert first.describe()["ranges"]["alike"] == first.ranges.alike
    for name, layer in first.model.layers.items():
        np.testing.assert_array_equal(layer.weight, again.model.layers[name].weight)


def bounded(weights, bound):
    """The same weights, those of the dynamics made heavier, then brought within the bound."""
    layers = {}
    for name in ("input", "gru_input", "gru_hidden"):
        weight = 3 * torch.tensor(weights[f"dynamics.{name}.weight"])
        layers[name] = torch.nn.Linear(weight.shape[1], weight.shape[0])
        bias = torch.tensor(weights[f"dynamics.{name}.bias"])
        layers[name].load_state_dict({"weight": weight, "bias": bias})
    LipschitzConstraint(bound, *layers.values()).project()
    return weights | {
        f"dynamics.{name}.{part}": tensor.numpy()
        for name, layer in layers.items()
        for part, tensor in layer.state_dict().items()
    }


@pytest.mark.parametrize("bound", [0.95, 1.0])
def test_integers_of_a_bounded_model_keep_its_bound(float_weights, small, monkeypatch, bound):
    monkeypatch.setattr(search, "CANDIDATES", {})
    weights = bounded(float_weights, bound)
    chosen = search.quantise_for_control(weights, small, PlannerSettings(), 0, bound)
    assert not chosen.ranges.feedback, "what feedback makes of rows is longer than they may be"
    assert certified_bound(dequantised_dynamics(chosen.model)) <= bound
