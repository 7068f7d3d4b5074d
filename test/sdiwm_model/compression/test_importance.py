"""Importance is the effect of a gate; what goes is made up for by what stays."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from sdiwm_model.compression.importance import control_loss, importance
from sdiwm_model.compression.prune import chosen_units, pruned_size, remove_units
from sdiwm_model.compression.refill import Inputs, refill
from sdiwm_model.compression.slicing import entries, groups, layout, slice_model
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.sizes import find_size
from sdiwm_model.training.batches import Experience
from sdiwm_model.world_model import WorldModel

SIZE = replace(find_size("miniature"), channels=(8, 8), prior=16, ensemble=2)
HORIZON, DISCOUNT = 4, 0.9
READERS = {
    "vision.conv1": ["vision.conv2"],
    "vision.maps": ["fusion.0"],
    "fusion.1": ["fusion.2"],
    "latent": ["dynamics.input", "dynamics.gru_hidden", "cost.input", "value.input", "prior.input"],
    "dynamics": ["dynamics.gru_input"],
    "cost": ["cost.output"],
}
NUMBERS = {"vision.maps": 2}  # of a unit, where they are not 1


@pytest.fixture(scope="module")
def recorded(small_data):
    return Experience.from_episodes(load_episodes([small_data]))


@pytest.fixture
def model():
    torch.manual_seed(5)
    return WorldModel(SIZE)


def loss_of(model, recorded):
    generator = torch.Generator().manual_seed(0)
    return control_loss(model, recorded, HORIZON, DISCOUNT, generator)


def gated(model, group, unit, gate):
    """A copy whose layers read ``gate`` times that unit."""
    model = copy.deepcopy(model)
    table = layout(model.size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for start, run in entries(table[name][1]) if len(table.get(name, ())) > 1 else ():
                if run.group == group:
                    parameter.narrow(1, start + unit * run.each, run.each).mul_(gate)
    return model


@pytest.mark.parametrize("group", READERS)
def test_importance_is_the_squared_slope_of_the_loss_in_a_gate(group, model, recorded):
    gate = torch.ones(groups(SIZE)[group].units, requires_grad=True)

    def through(layer, inputs):
        (x,) = inputs
        if isinstance(layer, nn.Conv2d):
            return (x * gate[:, None, None],)
        ones = torch.ones(x.shape[-1] - NUMBERS.get(group, 1) * len(gate))
        return (x * torch.cat([gate.repeat_interleave(NUMBERS.get(group, 1)), ones]),)

    found = importance(model, recorded, HORIZON, DISCOUNT, batches=1, seed=0)[group]
    for layer in READERS[group]:
        model.get_submodule(layer).register_forward_pre_hook(through)
    (slope,) = torch.autograd.grad(loss_of(model, recorded), gate)
    assert slope.abs().max() > 0
    torch.testing.assert_close(found, slope.square(), rtol=1e-2, atol=1e-3 * found.max().item())


def test_units_that_nobody_reads_go_first_and_parts_stay_equal(model, recorded):
    dead = {"latent": [1, 30], "cost": [0, 31], "vision.conv2": [3]}
    for group, units in dead.items():
        for unit in units:
            model = gated(model, group, unit, 0.0)
    matters = importance(model, recorded, HORIZON, DISCOUNT, batches=2, seed=0)
    kept = chosen_units(model, pruned_size(SIZE, 0.5), matters)
    for group, units in dead.items():
        assert not set(units) & set(kept[group]), group
    assert sum(unit < 16 for unit in kept["cost"]) == len(kept["cost"]) // 2


@torch.no_grad()
def test_what_a_twin_told_is_read_from_the_other(model, recorded):
    for layer in ("fusion.1", "cost.input", "cost.gain", "cost.shift"):
        for parameter in model.get_submodule(layer).parameters():
            parameter[1] = parameter[0]
    kept = {"fusion.1": [0, *range(2, 32)], "latent": range(32)}
    inputs = Inputs()
    before = loss_of(model, recorded)
    with inputs.watching(model):
        loss_of(model, recorded)
    bare = loss_of(slice_model(model, kept), recorded)
    refill(model, kept, inputs)
    assert (loss_of(slice_model(model, kept), recorded) - before).abs() < 0.1 * (
        bare - before
    ).abs()


@torch.no_grad()
def test_what_never_varied_becomes_a_bias(model, recorded):
    last = model.get_submodule("fusion.0")
    last.weight[7], last.bias[7] = 0.0, 2.0
    kept = {"fusion.0": [unit for unit in range(32) if unit != 7]}
    inputs = Inputs()
    with inputs.watching(model):
        before = loss_of(model, recorded)
    refill(model, kept, inputs)
    after = loss_of(slice_model(model, kept), recorded)
    assert after.item() == pytest.approx(before.item(), rel=1e-3)


@torch.no_grad()
def test_watching_leaves_nothing_behind(model, recorded):
    with Inputs().watching(model):
        loss_of(model, recorded)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_smaller_model_with_goals_told_by_pictures_and_two_cameras_works(recorded):
    torch.manual_seed(1)
    size = replace(SIZE, cameras=2, goal_image=True, frames=2, channels=(8, 8))
    two = replace(recorded, frames=torch.cat([recorded.frames, recorded.frames], dim=-1))
    target = pruned_size(size, 0.5)
    small, _ = remove_units(WorldModel(size), target, two, HORIZON, DISCOUNT, batches=1, seed=0)
    assert small.size == target
    assert torch.isfinite(loss_of(small, two))
