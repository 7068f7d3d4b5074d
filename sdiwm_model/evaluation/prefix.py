"""Rollouts of a world model step by step, unrolled into one graph, by sweeps, and by prefixes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.onnx import Graph, write_graph
from sdiwm_model.planning.protocols import Array
from sdiwm_model.prefix_dynamics import PrefixDynamics, jacobi_rollout
from sdiwm_model.runtime.onnx import OnnxDynamics
from sdiwm_model.runtime.session import open_session
from sdiwm_model.world_model import WorldModel

SHOWN = (1, 2, 4, 8, 16)  # model steps whose errors are reported
Rollout = Callable[[Tensor, Tensor, Tensor], Tensor]
"""z (B, Z), actions (B, H, A), c (B, C) -> latents (B, H, Z)."""


class RolloutCosts(nn.Module):
    """z (1, Z), actions (N, H, A), c (1, C) -> sum of costs (N,), value of the last latent (N,)."""

    def __init__(self, model: WorldModel, rollout: Rollout) -> None:
        super().__init__()
        self.model, self.rollout = model, rollout
        if isinstance(rollout, nn.Module):
            self.learned = rollout  # so that an export finds its weights

    def forward(self, z: Tensor, actions: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        latents = self.rollout(z, actions, c)
        costs = self.model.cost(latents, c.unsqueeze(1)).sum(dim=1)
        return costs, self.model.value(latents[:, -1], c)


def sequential(model: WorldModel) -> Rollout:
    """The model's own steps, one after the other."""

    def roll(z: Tensor, actions: Tensor, c: Tensor) -> Tensor:
        count = actions.shape[0]
        return model.rollout(z.expand(count, -1), actions, c.expand(count, -1))

    return roll


def sweeps(model: WorldModel, count: int) -> Rollout:
    """`jacobi_rollout` by ``count`` sweeps."""

    def roll(z: Tensor, actions: Tensor, c: Tensor) -> Tensor:
        rows = actions.shape[0]
        goals = c.expand(rows, -1)
        return jacobi_rollout(model.dynamics, z.expand(rows, -1), actions, goals, count)

    return roll


class OneGraphDynamics(OnnxDynamics):
    """A bundle's ONNX dynamics with whole rollouts in one graph; see `write_rollout`."""

    def __init__(self, folder: Path, model: WorldModel, graph: Path) -> None:
        super().__init__(folder, model.size)
        self._rollout = open_session(graph)

    def rollout_cost(
        self,
        z: Array,
        actions: Array,
        c: Array,
        value_weight: float = 1.0,
        disagreement: float = 0.0,
    ) -> Array:
        """z (Z,), actions (N, H, A), c (C,) -> (N,); SdiwmError where disagreement is asked for."""
        if disagreement > 0.0:
            raise SdiwmError(
                "a rollout in one graph has no disagreement: use planner.disagreement=0"
            )
        feeds = {"z": z[None], "actions": np.ascontiguousarray(actions), "c": c[None]}
        cost, value = self._rollout.run(["cost", "value"], feeds)
        return cost + np.float32(value_weight) * value


def write_rollout(path: Path, model: WorldModel, rollout: Rollout, horizon: int) -> None:
    """Export `RolloutCosts` of ``horizon`` steps, for any number of candidates."""
    size = model.size
    inputs = {
        "z": torch.zeros(1, size.latent),
        "actions": torch.zeros(3, horizon, size.action),
        "c": torch.zeros(1, size.conditioning),
    }
    free = {"actions": {0: "candidates"}}
    with torch.no_grad():
        write_graph(path, Graph(RolloutCosts(model, rollout), inputs, ("cost", "value"), free))


@torch.no_grad()
def errors(
    model: WorldModel, prefix: PrefixDynamics, z: Tensor, actions: Tensor, c: Tensor, real: Tensor
) -> dict[str, Any]:
    """How far apart rollouts are at `SHOWN` steps: root mean squares over a latent's numbers.

    z (B, Z), actions (B, H, A), c (B, C), real (B, H, Z) what was seen after those actions.
    `cost_correlation` is that of the summed costs of the two rollouts, which is what ranks plans.
    """
    stepped, leapt = model.rollout(z, actions, c), prefix(z, actions, c)
    shown = [k for k in SHOWN if k <= prefix.horizon]
    goals = c.unsqueeze(1)
    sums = [model.cost(latents, goals).sum(dim=1).numpy() for latents in (stepped, leapt)]
    pairs = {
        "prefix_to_gru": (leapt, stepped),
        "gru_to_real": (stepped, real),
        "prefix_to_real": (leapt, real),
        "persistence_to_real": (z.unsqueeze(1).expand_as(real), real),
    }
    found: dict[str, Any] = {name: _by_step(*pair, shown) for name, pair in pairs.items()}
    found["cost_correlation"] = float(np.corrcoef(*sums)[0, 1])
    found["sweeps_to_gru"] = {
        str(n): _last(jacobi_rollout(model.dynamics, z, actions, c, n), stepped) for n in shown
    }
    return found


def _by_step(a: Tensor, b: Tensor, shown: Sequence[int]) -> dict[str, float]:
    rms = (a - b).square().mean(dim=(0, 2)).sqrt()
    return {str(k): float(rms[k - 1]) for k in shown}


def _last(a: Tensor, b: Tensor) -> float:
    """Error of the last latent, and so the largest one of too few sweeps."""
    return float((a - b)[:, -1].square().mean().sqrt())
