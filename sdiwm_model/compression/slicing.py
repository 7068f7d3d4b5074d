"""Removing units of a world model: the same model with smaller widths, and nothing approximated.

A *unit* is one number that one layer makes and others read: a channel of the image branch, a
keypoint, a hidden unit of fusion, dynamics or head, a dimension of the latent. `layout` tells, for
every parameter, which entries of its axes belong to which units; all else follows from that table.
The image branch's part of it is found by torch-pruning; a spatial softmax, and a GRU whose state is
the latent, it does not follow, so those are written down here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sdiwm_model.compression.image_channels import MAPS, channel_groups, convolutions
from sdiwm_model.dynamics import Dynamics
from sdiwm_model.encoder import image_encoder
from sdiwm_model.errors import SdiwmError
from sdiwm_model.heads import GoalPicture, Places, Probe
from sdiwm_model.sizes import ModelSize
from sdiwm_model.world_model import WorldModel


@dataclass(frozen=True)
class Group:
    """Units of which some may go and the others stay.

    units   how many there are
    width   field of the size that says so, "fusion.0" for the first of two; "" where it follows
            from another one
    parts   runs of equal length, from each of which as many must go
    """

    units: int
    width: str = ""
    parts: int = 1


@dataclass(frozen=True)
class Run:
    """Successive entries of an axis: ``each`` for every unit of a group, or of no group."""

    count: int
    group: str = ""
    each: int = 1


Axis = tuple[Run, ...]
Layout = Mapping[str, tuple[Axis, ...]]
"""Leading axes of parameters: the first is what a layer makes, the second what it reads."""


def check_sliceable(size: ModelSize) -> None:
    """Refuse what has no units that could be removed.

    Raises:
        SdiwmError: the image branch is a vision transformer, or the dynamics a transformer.
    """
    for field, bad in (("encoder", "vit"), ("dynamics_kind", "transformer")):
        if getattr(size, field) == bad:
            raise SdiwmError(
                f"model size field '{field}' is '{bad}', whose attention heads cannot be pruned: "
                "distil it into a size with convolutions and a GRU"
            )


@cache
def groups(size: ModelSize) -> dict[str, Group]:
    """All groups of a size, by name, in the order of the data's way through the model.

    Raises:
        SdiwmError: see `check_sliceable`.
    """
    check_sliceable(size)
    found, layers = {}, _convolutions(size)
    for camera in _cameras(size):
        for layer in channel_groups(size.encoder):
            units = layers[layer].out_channels
            found[camera + layer] = Group(units, _image_width(layer))
        found[camera + MAPS] = Group(size.keypoints, "keypoints")
    found["fusion.0"] = Group(size.fusion[0], "fusion.0")
    found["fusion.1"] = Group(size.fusion[1], "fusion.1")
    found["latent"] = Group(size.latent, "latent")
    found["dynamics"] = Group(size.dynamics, "dynamics")
    found["cost"] = Group(size.head, "head", size.ensemble)
    found["value"] = Group(size.head, "head")
    if size.prior:
        found["prior"] = Group(size.prior, "prior")
    return found


@cache
def layout(size: ModelSize) -> Layout:
    """Leading axes of every parameter that units have a part in.

    Raises:
        SdiwmError: see `check_sliceable`.
    """
    units = {name: Run(group.units, name) for name, group in groups(size).items()}
    seen = tuple(Run(size.keypoints, camera + MAPS, 2) for camera in _cameras(size))
    z, x = units["latent"], units["dynamics"]
    first, second = units["fusion.0"], units["fusion.1"]
    table = dict(_image_layout(size))
    table |= _layer("fusion.0", (first,), (*(seen * size.frames), Run(size.proprio)))
    table |= _layer("fusion.1", (second,), (first,))
    table |= _layer("fusion.2", (z,), (second,))
    table |= _layer("dynamics.input", (x,), (z, Run(size.action + size.conditioning)))
    table |= _layer("dynamics.gru_input", (z, z, z), (x,))
    table |= _layer("dynamics.gru_hidden", (z, z, z), (z,))
    table |= _layer("joints", (Run(size.proprio),), (z,))
    table |= _layer("scene", seen * size.frames, (z,))
    table |= _layer("probe.0", (Run(Probe.HIDDEN),), (z,))
    table |= _layer("places.0", (Run(Places.HIDDEN),), seen)
    if size.goal_image:
        table |= _layer("goal_image.0", (Run(GoalPicture.HIDDEN),), seen)
    table |= _head("cost", units["cost"], z, size.ensemble, size)
    table |= _head("value", units["value"], z, 1, size)
    if size.prior:
        table |= _head("prior", units["prior"], z, size.plan_horizon * size.action, size)
    return table


def slice_model(model: WorldModel, kept: Mapping[str, Sequence[int]]) -> WorldModel:
    """A new model that has only the units ``kept``, with the weights that they have in ``model``.

    Where the removed units are 0 for every input, it computes the same. One with a Lipschitz bound
    keeps it.

    Args:
        kept: indices of the units that stay, by the name of their group; groups that are not named
            stay whole.

    Raises:
        SdiwmError: see `check_sliceable`; or an unknown group, index, or number of units.
    """
    before = groups(model.size)
    chosen = {name: torch.arange(group.units) for name, group in before.items()}
    for name, indices in kept.items():
        chosen[name] = _checked(name, indices, before)
    size = _new_size(model.size, chosen)
    after = groups(size)
    for name, units in chosen.items():
        if len(units) != after[name].units:
            raise SdiwmError(
                f"{len(units)} units are kept in '{name}': a model with the other widths has "
                f"{after[name].units} there"
            )
    axes = layout(model.size)
    state = {n: _cut(t, axes.get(n, ()), chosen) for n, t in model.state_dict().items()}
    with torch.random.fork_rng():
        sliced = WorldModel(size)
    sliced.load_state_dict(state)
    if isinstance(sliced.dynamics, Dynamics):
        sliced.dynamics.project()
    return sliced.train(model.training)


def entries(axis: Axis) -> Iterator[tuple[int, Run]]:
    """Every run of an axis, and where it begins."""
    start = 0
    for run in axis:
        yield start, run
        start += run.count * run.each


def _cut(tensor: Tensor, axes: tuple[Axis, ...], chosen: Mapping[str, Tensor]) -> Tensor:
    for dimension, axis in enumerate(axes):
        indices = []
        for start, run in entries(axis):
            units = chosen[run.group] if run.group else torch.arange(run.count)
            own = units[:, None] * run.each + torch.arange(run.each)
            indices.append(start + own.flatten())
        tensor = tensor.index_select(dimension, torch.cat(indices))
    return tensor


def _checked(name: str, units: Sequence[int], known: Mapping[str, Group]) -> Tensor:
    """``units`` in order, as a tensor."""
    if name not in known:
        raise SdiwmError(f"there is no group of units '{name}': there are {', '.join(known)}")
    group, chosen = known[name], sorted({int(unit) for unit in units})
    if not chosen or chosen[0] < 0 or chosen[-1] >= group.units or len(chosen) != len(units):
        raise SdiwmError(
            f"units to keep in '{name}': name at least one, each once, from 0 to {group.units - 1}"
        )
    part = group.units // group.parts
    counts = torch.bincount(torch.tensor(chosen) // part, minlength=group.parts)
    if counts.min() != counts.max():
        raise SdiwmError(
            f"units to keep in '{name}': keep as many of each {part}, for it has {group.parts} "
            "equal parts"
        )
    return torch.tensor(chosen)


def _new_size(size: ModelSize, chosen: Mapping[str, Tensor]) -> ModelSize:
    changes: dict[str, Any] = {"channels": list(size.channels), "fusion": list(size.fusion)}
    for name, group in groups(size).items():
        field, _, place = group.width.partition(".")
        if place:
            changes[field][int(place)] = len(chosen[name])
        elif field:
            changes[field] = len(chosen[name])
    changes |= {name: tuple(changes[name]) for name in ("channels", "fusion")}
    return replace(size, **changes)


def _layer(name: str, makes: Axis, reads: Axis) -> dict[str, tuple[Axis, ...]]:
    return {f"{name}.weight": (makes, reads), f"{name}.bias": (makes,)}


def _head(
    name: str, hidden: Run, z: Run, outputs: int, size: ModelSize
) -> dict[str, tuple[Axis, ...]]:
    """Of a `FilmHead`."""
    table: dict[str, tuple[Axis, ...]] = {f"{name}.input.weight": ((hidden,), (z,))}
    for part in ("gain", "shift"):
        table |= _layer(f"{name}.{part}", (hidden,), (Run(size.conditioning),))
    return table | _layer(f"{name}.output", (Run(outputs),), (hidden,))


def _cameras(size: ModelSize) -> list[str]:
    """Prefixes of the parameters of every camera's image branch."""
    if size.cameras == 1:
        return ["vision."]
    return [f"vision.{camera}." for camera in range(size.cameras)]


def _image_width(layer: str) -> str:
    """The field that the channels which ``layer`` makes are counted by."""
    names = {"conv1": 0, "conv2": 1, "stem": 0, "blocks.1.project": 1}
    return f"channels.{names[layer]}" if layer in names else ""


def _convolutions(size: ModelSize) -> dict[str, nn.Conv2d]:
    """Of one camera's image branch, without their weights."""
    with torch.device("meta"):
        return convolutions(image_encoder(replace(size, cameras=1)))


def _image_layout(size: ModelSize) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    layers = _convolutions(size)
    for camera in _cameras(size):
        axes: dict[tuple[str, int], Axis] = {(MAPS, 0): (Run(size.keypoints, camera + MAPS),)}
        for name, uses in channel_groups(size.encoder).items():
            for use in uses:
                axes[use.layer, use.axis] = (Run(layers[name].out_channels, camera + name),)
        for name, layer in layers.items():
            makes = axes.get((name, 0), (Run(layer.out_channels),))
            reads = axes.get((name, 1), (Run(layer.in_channels // layer.groups),))
            yield from _layer(camera + name, makes, reads).items()
