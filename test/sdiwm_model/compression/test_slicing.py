"""Slicing removes units and nothing else."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.compression.slicing import entries, groups, layout, slice_model
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.lipschitz import certified_bound, dynamics_of
from sdiwm_model.sizes import SIZES, TILE, ModelSize, find_size
from sdiwm_model.world_model import WorldModel

PLAIN = replace(find_size("miniature"), channels=(8, 8), image_size=16, state=5)
SEVERAL = replace(PLAIN, prior=12, plan_horizon=3, ensemble=2, frames=2, proprio=0)
CAMERAS = replace(PLAIN, cameras=2, goal_image=True, goals=1)
MOBILE = replace(PLAIN, encoder="mobilenet", channels=(8, 12))
KINDS = {"plain": PLAIN, "several": SEVERAL, "cameras": CAMERAS, "mobilenet": MOBILE}


def lively(size, seed):
    """A model of random weights: as it starts, whole blocks of a mobilenet give nothing."""
    torch.manual_seed(seed)
    model = WorldModel(size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for name, parameter in model.named_parameters():
            if "maps" in name:
                parameter *= 0.05  # a soft attention, so that all that is seen has a say
    return model


def outputs(model, seed):
    """Everything that a model computes, from the same inputs for any widths."""
    size, draw = model.size, torch.Generator().manual_seed(seed)
    edge, channels = size.image_size, 3 * size.cameras
    image = torch.randint(256, (size.frames * 3, edge, edge, channels), generator=draw).byte()
    proprio = torch.randn(3, size.proprio, generator=draw)
    actions = 2 * torch.rand(3, 6, size.action, generator=draw) - 1
    c = 2 * torch.rand(3, size.conditioning, generator=draw) - 1
    seen = model.vision(image)
    z = model.fusion(seen.reshape(3, -1), proprio)
    found = {"real": z, "latents": model.rollout(z, actions, c)}
    last = found["latents"][:, -1]
    found |= {"cost": model.cost.all(last, c), "value": model.value.all(last, c)}
    found |= {"joints": model.joints(last), "scene": model.scene(last), "probe": model.probe(last)}
    found["places"] = model.places(seen)
    if model.prior is not None:
        found["prior"] = model.prior(last, c)
    if model.goal_image is not None:
        found["goal"] = model.goal_image(seen)
    return found


@torch.no_grad()
def silence(model, kept, axis):
    """Zero the weights that make (0) or read (1) the units that are not kept."""
    table = layout(model.size)
    for name, parameter in model.named_parameters():
        if len(table.get(name, ())) <= axis:
            continue
        for start, run in entries(table[name][axis]):
            for unit in set(range(run.count)) - set(kept.get(run.group, range(run.count))):
                first = start + unit * run.each
                parameter.narrow(axis, first, run.each).zero_()


def kept_of(output, name, size, kept):
    """Those numbers of an output that a model without the other units still has."""
    if name in ("real", "latents"):
        return output[..., sorted(kept["latent"])]
    if name == "scene":
        (axis,) = layout(size)["scene.bias"]
        mask = torch.zeros(output.shape[-1], dtype=torch.bool)
        for start, run in entries(axis):
            for unit in kept[run.group]:
                mask[start + unit * run.each : start + (unit + 1) * run.each] = True
        return output[..., mask]
    return output


@st.composite
def selections(draw, size):
    """A smaller size and the units of each group that it keeps."""

    def fewer(most, step=TILE):
        return draw(st.integers(1, most // step)) * step

    target = replace(
        size,
        channels=tuple(fewer(n) for n in size.channels),
        keypoints=fewer(size.keypoints, 1),
        fusion=tuple(fewer(n, 1) for n in size.fusion),
        latent=fewer(size.latent),
        dynamics=fewer(size.dynamics),
        head=fewer(size.head),
        prior=fewer(size.prior, 1) if size.prior else 0,
    )
    kept = {}
    for name, group in groups(size).items():
        part, count = group.units // group.parts, groups(target)[name].units // group.parts
        kept[name] = [
            part * index + unit
            for index in range(group.parts)
            for unit in draw(st.permutations(range(part)))[:count]
        ]
    return target, kept


@pytest.mark.parametrize("name", [name for name, s in SIZES.items() if s.encoder != "vit"])
def test_the_table_spans_every_axis_of_the_parameters_it_names(name):
    size = SIZES[name]
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in WorldModel(size).state_dict().items()}
    for name, axes in layout(size).items():
        counted = [sum(run.count * run.each for run in axis) for axis in axes]
        assert counted == list(shapes[name][: len(axes)]), name
    cut = {run.group for axes in layout(size).values() for axis in axes for run in axis} - {""}
    assert cut == set(groups(size))


@pytest.mark.parametrize("axis", [0, 1], ids=["are zero", "nobody reads"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(choice=st.data())
def test_units_that_do_nothing_can_be_removed_without_changing_an_output(kind, axis, choice):
    size = KINDS[kind]
    target, kept = choice.draw(selections(size))
    model = lively(size, seed=1)
    silence(model, kept, axis)
    sliced = slice_model(model, kept)
    assert sliced.size == target
    before, after = outputs(model, seed=2), outputs(sliced, seed=2)
    for name in before:
        expected = kept_of(before[name], name, size, kept)
        torch.testing.assert_close(after[name], expected, atol=2e-5, rtol=1e-4, msg=name)


def test_removing_units_that_do_something_changes_the_output():
    model = lively(PLAIN, seed=1)
    before = outputs(model, seed=2)
    for name, group in groups(PLAIN).items():
        if group.width in ("keypoints", "fusion.0", "fusion.1"):
            half = range(group.units // 2, group.units)
            after = outputs(slice_model(model, {name: half}), seed=2)
            assert (after["cost"] - before["cost"]).abs().max() > 1e-4, name


def test_groups_that_are_not_named_stay_whole_and_the_model_stays_as_it_was():
    model = lively(PLAIN, seed=3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    same = slice_model(model, {})
    for name, tensor in same.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    slice_model(model, {"latent": range(4)}).state_dict()["fusion.2.weight"].zero_()
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_a_bounded_dynamics_keeps_its_bound():
    for bound in (0.9, 1.0, 1.2):
        size = replace(PLAIN, lipschitz=bound)
        model = lively(size, seed=4)
        sliced = slice_model(model, {"latent": range(0, 32, 2), "dynamics": range(12)})
        weights = {name: t.numpy() for name, t in sliced.state_dict().items()}
        assert certified_bound(dynamics_of(weights)) <= bound


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({"latents": [0]}, "no group of units 'latents'"),
        ({"latent": []}, "at least one"),
        ({"latent": [0, 1, 2, 32]}, "from 0 to 31"),
        ({"latent": [0, 1, 2, 2]}, "each once"),
        ({"latent": [0, 1, 2]}, "'latent' is 3: use a multiple of 4"),
        ({"cost": range(16)}, "16 units are kept in 'cost'"),
    ],
)
def test_selections_that_make_no_model_are_refused(kept, words):
    with pytest.raises(SdiwmError, match=words):
        slice_model(WorldModel(PLAIN), kept)


def test_the_parts_of_an_ensemble_keep_as_many_units_each():
    with pytest.raises(SdiwmError, match="2 equal parts"):
        slice_model(WorldModel(SEVERAL), {"cost": range(8), "value": range(8)})


def test_transformers_are_refused_by_the_field_that_says_so():
    for changes, field in (({"encoder": "vit"}, "encoder"), ({}, "dynamics_kind")):
        size = ModelSize(**{"dynamics_kind": "transformer", **changes, "dynamics_heads": 4})
        with pytest.raises(SdiwmError, match=f"'{field}'"):
            groups(size)
