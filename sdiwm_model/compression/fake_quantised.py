"""The integer engine's arithmetic in floats that gradients pass through, for fine-tuning.

Whatever is rounded to 8 bits is rounded here, with the units that `compression.quantise` gives to
the weights as they are; a rounding has the gradient 1 (Bengio et al. 2013, "straight through"). The
16-bit roundings and the tables, which are finer by two orders, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdiwm_model.compression.activations import Activations, Floats, Weights
from sdiwm_model.compression.fixed_point import requantisation
from sdiwm_model.compression.quantise import (
    ACTION_UNIT,
    GATE_UNIT,
    LATENT_UNIT,
    SUM_LIMIT,
    gate_inputs,
    gate_rows,
    gate_units,
    head_units,
    hidden_units,
    input_rows,
    row_units,
)
from sdiwm_model.compression.ranges import Ranges

TRAINED = ("dynamics.", "cost.", "value.")
HEADS = ("cost", "value")


@dataclass(frozen=True)
class Units:
    """Units of one update's weights: (rows,) each, or a number.

    hidden   of the dynamics' hidden channels
    rows     of the sums: input, the gates, and each head's two layers
    largest  where a gate saturates
    heads    of the heads' hidden layers
    """

    hidden: Tensor
    rows: dict[str, Tensor]
    largest: dict[str, Tensor]
    heads: dict[str, float]


class FakeQuantised(nn.Module):
    """Dynamics and heads of a model, as the engine will compute them.

    Args:
        weights: float weights of the whole model; those of dynamics, cost and value are trained.
        seen: what the layers take in; it stays what the ranges are measured on.
        ranges: with weights rounded to the nearest, whatever their ``feedback`` says.
    """

    def __init__(self, weights: Weights, seen: Activations, ranges: Ranges) -> None:
        super().__init__()
        self.ranges = replace(ranges, feedback=False)
        self._seen, self._others = seen, {}
        self.trained = nn.ParameterDict()
        for name, value in weights.items():
            if name.startswith(TRAINED):
                self.trained[name.replace(".", "-")] = nn.Parameter(torch.tensor(value))
            else:
                self._others[name] = value
        self._latent = weights["fusion.2.weight"].shape[0]
        self._conditioning = weights["cost.gain.weight"].shape[1]

    def weights(self) -> dict[str, Floats]:
        """All weights of the model, those that were trained as they are now."""
        own = {n.replace("-", "."): p.detach().numpy().copy() for n, p in self.trained.items()}
        return {**self._others, **own}

    def units(self) -> Units:
        """Those of the present weights, by the same functions as the engine's."""
        weights, seen, ranges = self.weights(), self._seen, self.ranges
        hidden = hidden_units(weights, seen.hidden, ranges)
        rows = {"input": row_units(*input_rows(weights), SUM_LIMIT)}
        inputs = gate_inputs(seen, hidden)
        for name, (effective, bias) in gate_rows(weights, hidden).items():
            rows[name] = gate_units(effective, bias, inputs[name], ranges)
        largest = {n: requantisation(rows[n] / GATE_UNIT, 15)[0] * GATE_UNIT for n in inputs}
        heads = {}
        for head in HEADS:
            _, rows[f"{head}_input"], heads[head] = head_units(
                weights, head, seen.heads[head], ranges
            )
            out = weights[f"{head}.output.weight"].astype(np.float64) * heads[head]
            bias = np.abs(weights[f"{head}.output.bias"])
            rows[f"{head}_output"] = row_units(out, bias, SUM_LIMIT)
        return Units(
            _tensor(hidden),
            {name: _tensor(unit) for name, unit in rows.items()},
            {name: _tensor(limit) for name, limit in largest.items()},
            heads,
        )

    def rollout(self, units: Units, z: Tensor, actions: Tensor, c: Tensor) -> Tensor:
        """Open loop: z (B, Z), actions (B, T, A), c (B, C) -> latents (B, T, Z)."""
        p, width = self._parameter, self._latent
        full = p("dynamics.input.weight")
        split = width, full.shape[1] - width - self._conditioning, self._conditioning
        on_z, on_a, on_c = full.split(split, dim=1)
        first = _rounded(
            torch.cat([on_z * LATENT_UNIT, on_a * ACTION_UNIT], 1), units.rows["input"]
        )
        told = c @ on_c.T + p("dynamics.input.bias")
        from_x = (p("dynamics.gru_input.weight") * units.hidden).chunk(3)
        from_z = (p("dynamics.gru_hidden.weight") * LATENT_UNIT).chunk(3)
        bias_x, bias_z = (
            p("dynamics.gru_input.bias").chunk(3),
            p("dynamics.gru_hidden.bias").chunk(3),
        )
        gates = {
            "reset": (torch.cat([from_x[0], from_z[0]], 1), bias_x[0] + bias_z[0]),
            "update": (torch.cat([from_x[1], from_z[1]], 1), bias_x[1] + bias_z[1]),
            "candidate_input": (from_x[2], bias_x[2]),
            "candidate_hidden": (from_z[2], bias_z[2]),
        }
        rounded = {n: (_rounded(w, units.rows[n]), b) for n, (w, b) in gates.items()}

        def before(name: str, inputs: Tensor) -> Tensor:
            weight, bias = rounded[name]
            limit = units.largest[name]
            return torch.clamp(inputs @ weight.T + bias, -limit, limit)

        latents = []
        for a in actions.unbind(dim=1):
            z8 = _to_integers(z / LATENT_UNIT, -128, 127)
            a8 = torch.round(a / ACTION_UNIT)
            sums = torch.cat([z8, a8], 1) @ first.T + told
            x = _to_integers(sums / units.hidden, 0, 255)
            both = torch.cat([x, z8], 1)
            r, u = (torch.sigmoid(before(name, both)) for name in ("reset", "update"))
            n = torch.tanh(before("candidate_input", x) + r * before("candidate_hidden", z8))
            z = n + u * (z - n)
            latents.append(z)
        return torch.stack(latents, dim=1)

    def head(self, units: Units, head: str, z: Tensor, c: Tensor) -> Tensor:
        """What "cost" or "value" says of z (..., Z) under c (..., C): (...)."""
        p, hidden_unit = self._parameter, units.heads[head]
        inner = _rounded(p(f"{head}.input.weight") * LATENT_UNIT, units.rows[f"{head}_input"])
        gain = torch.sigmoid(c @ p(f"{head}.gain.weight").T + p(f"{head}.gain.bias"))
        shift = c @ p(f"{head}.shift.weight").T + p(f"{head}.shift.bias")
        sums = gain * (_to_integers(z / LATENT_UNIT, -128, 127) @ inner.T) + shift
        hidden = _to_integers(sums / hidden_unit, 0, 255)
        outer = _rounded(p(f"{head}.output.weight") * hidden_unit, units.rows[f"{head}_output"])
        return (hidden @ outer.T + p(f"{head}.output.bias"))[..., 0]

    def _parameter(self, name: str) -> Tensor:
        return self.trained[name.replace(".", "-")]


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _rounded(effective: Tensor, unit: Tensor) -> Tensor:
    """Weights (M, K) as multiples of their row's unit (M,), 127 at most; gradient 1 everywhere."""
    near = torch.clamp(torch.round(effective / unit[:, None]), -127, 127) * unit[:, None]
    return effective + (near - effective).detach()


def _to_integers(x: Tensor, low: int, high: int) -> Tensor:
    """Rounded and saturated; gradient 1 where it does not saturate."""
    kept = torch.clamp(x, low, high)
    return kept + (torch.round(kept) - kept).detach()
