"""Which convolutions of an image branch share channels: found by torch-pruning.

Its dependency graph (Fang et al., "DepGraph", 2023) follows residuals, depthwise convolutions and
squeeze-and-excite. It does not follow the spatial softmax, whose reshaping and product with the
grid it takes for more channels, so the maps that become keypoints are left to `slicing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from sdiwm_model.encoder import image_encoder
from sdiwm_model.sizes import ModelSize

MAPS = "maps"  # the last layer of an image branch


@dataclass(frozen=True, order=True)
class Use:
    """A convolution that makes the channels of a group (axis 0 of its weights), or reads them."""

    axis: int
    position: int
    layer: str


@cache
def channel_groups(encoder: str) -> dict[str, list[Use]]:
    """Uses of every group of channels but the maps, those that make it first.

    A group is named after the first layer that makes it. Widths play no part in it.

    Args:
        encoder: a kind of image branch, "keypoints" or "mobilenet".
    """
    import torch_pruning

    size = ModelSize(encoder=encoder)
    with torch.random.fork_rng():
        network = image_encoder(size)
    image = torch.zeros(1, size.image_size, size.image_size, 3, dtype=torch.uint8)
    graph = torch_pruning.DependencyGraph().build_dependency(network, image)
    layers = {module: name for name, module in convolutions(network).items()}
    order = list(layers.values())
    found = {}
    for group in graph.get_all_groups(root_module_types=[nn.Conv2d]):
        uses = set()
        for dependency, _ in group:
            name = layers.get(dependency.target.module)
            if name is not None:
                axis = 0 if graph.is_out_channel_pruning_fn(dependency.handler) else 1
                uses.add(Use(axis, order.index(name), name))
        ordered = sorted(uses)
        if ordered[0].layer != MAPS:
            found[ordered[0].layer] = ordered
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """All convolutions, by name, in the order of the data's way through them."""
    return {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
