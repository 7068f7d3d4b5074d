"""Which units of a world model matter: by what drift and cost would lose without each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sdiwm_model.compression.slicing import entries, groups, layout
from sdiwm_model.losses import cost_loss, drift_loss, value_loss
from sdiwm_model.training.batches import Experience, draw_windows
from sdiwm_model.training.goals import draw_goals
from sdiwm_model.world_model import WorldModel

WINDOWS = 16  # recorded sequences of a batch: few, since gradients of many cancel out


def importance(
    model: WorldModel, data: Experience, horizon: int, discount: float, batches: int, seed: int
) -> dict[str, Tensor]:
    """How much every unit matters, (units,) by the name of its group; deterministic.

    First-order Taylor expansion of the loss in a gate on each unit (Molchanov et al. 2019, eq. 8):
    the mean over batches of (dL/dg)^2 at g = 1. A gate on what a layer reads has the gradient
    sum_j w_j dL/dw_j over the weights that read it, so that no gate need be there.

    Args:
        data: recorded episodes, of which ``batches`` small batches are drawn.
        horizon: model steps of a rollout.
        discount: of the cost to go.
    """
    generator = torch.Generator().manual_seed(seed)
    readers = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name in layout(model.size) and name.endswith("weight")
    }
    total = {name: torch.zeros(group.units) for name, group in groups(model.size).items()}
    for _ in range(batches):
        loss = control_loss(model, data, horizon, discount, generator)
        found = torch.autograd.grad(loss, list(readers.values()), allow_unused=True)
        products = {
            name: readers[name].detach() * gradient
            for name, gradient in zip(readers, found, strict=True)
            if gradient is not None
        }
        for name, gate in _gates(model, products).items():
            total[name] += gate.square() / batches
    return total


def control_loss(
    model: WorldModel, data: Experience, horizon: int, discount: float, generator: torch.Generator
) -> Tensor:
    """Drift and cost on some recorded sequences, from the pictures on, as the planner meets them.

    L = drift + cost of real latents + cost of predicted ones + cost to go; the drift is towards
    latents that stay as they are. Where there is a policy prior, the square of its proposals is
    added, since what matters to it is what moves them.
    """
    some = _excerpts(data, WINDOWS, horizon + 2, generator)
    features = model.vision(some.frames)
    windows = draw_windows(some, features, WINDOWS, horizon, generator, model.size.frames)
    goals = draw_goals(model, some, features, windows, generator)
    real = model.fusion(windows.features, windows.proprio)
    predicted = model.rollout(real[:, 0], windows.action[:, :-1], goals.c[:, 0])
    every, cost = goals.c.unsqueeze(1), goals.cost.unsqueeze(-1)
    loss = drift_loss(predicted, real[:, 1:].detach())
    loss = loss + cost_loss(model.cost.all(real.unsqueeze(-2), every), cost)
    loss = loss + cost_loss(model.cost.all(predicted.unsqueeze(-2), every), cost[:, 1:])
    loss = loss + value_loss(model.value(real.unsqueeze(-2), every), goals.cost, discount)
    if model.prior is not None:
        loss = loss + model.prior(real.unsqueeze(-2), every).square().mean()
    return loss


def _gates(model: WorldModel, products: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """dL/dg of every unit, from weights times their gradients."""
    table = layout(model.size)
    gates = {name: torch.zeros(group.units) for name, group in groups(model.size).items()}
    for parameter, product in products.items():
        read = product.transpose(0, 1).flatten(1).sum(dim=1)
        for start, run in entries(table[parameter][1]):
            if run.group:
                own = read[start : start + run.count * run.each]
                gates[run.group] += own.unflatten(0, (run.count, run.each)).sum(dim=1)
    return gates


def _excerpts(data: Experience, count: int, steps: int, generator: torch.Generator) -> Experience:
    """``count`` sequences of ``steps`` recorded steps, each as an episode of its own."""
    episode = torch.randint(len(data.lengths), (count,), generator=generator)
    room = data.lengths[episode] - steps + 1
    first = data.starts[episode] + (torch.rand(count, generator=generator) * room).long()
    index = (first[:, None] + torch.arange(steps)).flatten()
    return Experience(
        data.frames[index],
        data.proprio[index],
        data.action[index],
        data.cost[index],
        data.state[index],
        starts=torch.arange(count) * steps,
        lengths=torch.full((count,), steps),
        lags=data.lags,
    )
