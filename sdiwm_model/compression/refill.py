"""What the units that go have told is read from those that stay, as far as these know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.compression.slicing import entries, layout
from sdiwm_model.world_model import WorldModel

RIDGE = 1e-3  # of the mean square of the inputs: what hardly varies is not amplified
ROWS = 4096  # of inputs that one call of a layer adds
IMAGES = 32  # of a batch that convolutions learn from: their windows overlap, and are many


class Inputs:
    """Second moments of what every layer that reads units takes in, and a 1 for its bias."""

    def __init__(self) -> None:
        self.moments: dict[str, Tensor] = {}

    @contextmanager
    def watching(self, model: WorldModel) -> Iterator[None]:
        """Add all that ``model`` computes meanwhile."""
        hooks = [
            model.get_submodule(name).register_forward_pre_hook(self._hook(name))
            for name in _readers(model)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def add(layer: nn.Module, inputs: tuple[Tensor]) -> None:
            rows = _rows(layer, inputs[0].detach())
            rows = rows[:: len(rows) // ROWS | 1].double()  # odd: not the same column of every map
            rows = functional.pad(rows, (0, 1), value=1.0)
            self.moments[name] = self.moments.get(name, 0) + rows.T @ rows / len(rows)

        return add


@torch.no_grad()
def refill(model: WorldModel, kept: Mapping[str, Sequence[int]], inputs: Inputs) -> None:
    """Change the weights that read ``kept`` units so that the sums are nearly what they were.

    The others' inputs are foretold from those of the units that stay by least squares, and what
    would have been done with them is done with that (He et al., "Channel Pruning", 2017, eq. 5).

    Args:
        model: changed; for `slicing.slice_model`.
        inputs: of the layers, on recorded data.
    """
    for name, moments in inputs.moments.items():
        layer = model.get_submodule(name)
        stays = _stays(model, name, kept)
        if stays.all():
            continue
        weight, bias = layer.get_parameter("weight"), layer.bias
        window = weight[0, 0].numel()
        known = torch.cat([stays.repeat_interleave(window), torch.tensor([bias is not None])])
        gone = torch.cat([~stays.repeat_interleave(window), torch.tensor([False])])
        among = moments[known][:, known]
        ridge = RIDGE * among.diagonal().mean() * torch.eye(len(among), dtype=among.dtype)
        foretell = torch.linalg.solve(among + ridge, moments[known][:, gone])
        flat = weight.flatten(1)
        change = (flat[:, gone[:-1]].double() @ foretell.T).to(flat.dtype)
        if bias is not None:
            bias += change[:, -1]
            change = change[:, :-1]
        flat[:, known[:-1]] += change
        weight.copy_(flat.view_as(weight))


def _readers(model: WorldModel) -> list[str]:
    """Layers that read units of any group."""
    table = layout(model.size)
    return [
        name.removesuffix(".weight")
        for name, axes in table.items()
        if len(axes) > 1 and any(run.group for run in axes[1])
    ]


def _rows(layer: nn.Module, x: Tensor) -> Tensor:
    """Inputs of a layer as rows, of which each gives one place of its output."""
    if isinstance(layer, nn.Conv2d):
        x = x[:: max(1, len(x) // IMAGES)]
        assert not isinstance(layer.padding, str)
        columns = functional.unfold(
            x, layer.kernel_size, padding=layer.padding, stride=layer.stride
        )
        return columns.transpose(1, 2).flatten(0, 1)
    return x.flatten(0, -2)


def _stays(model: WorldModel, layer: str, kept: Mapping[str, Sequence[int]]) -> Tensor:
    """Which inputs of a layer stay, (inputs,) bool."""
    parts = []
    for _, run in entries(layout(model.size)[f"{layer}.weight"][1]):
        mask = torch.ones(run.count, dtype=torch.bool)
        if run.group in kept:
            mask[:] = False
            mask[list(kept[run.group])] = True
        parts.append(mask.repeat_interleave(run.each))
    return torch.cat(parts)
