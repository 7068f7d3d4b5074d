"""Weights of the dynamics that cannot stretch a difference of latents beyond a setting L.

|f(z, a, c) - f(z~, a, c)|_inf <= L |z - z~|_inf for all inputs within [-1, 1]. Derivation, row by
row: a row is a dimension of z; N and P bound the absolute row sums of the Jacobians of n and of
the update gate's pre-activation; the inf-norm of a Jacobian is its largest row sum.

1. A row of the Jacobian of z' = (1 - u) n + u z sums to at most (1 - u)(N + 2 u P) + u, since
   |z - n| <= 2. This is at most L for every u in [0, k], k < L or k = L = 1 or L > 1 = k, if and
   only if gauge(N, P) = max over u < k of (1 - u)(N + 2 u P) / (L - u) <= 1.
2. L > 1: with d = L - u, e = L - 1 and A = N + 2 L P the gauge is the maximum of
   A + 2 e P - 2 P d - e A / d over e <= d <= L, at d = sqrt(e A / 2 P) or at an end.
   L = 1: gauge = N + 2 P. A latent may be kept as it is (u = 1); only n and the gates pay.
   L < 1: k = 1 - sqrt(1 - L) leaves the same room to memory and to movement: with u <= k and
   gauge = (N + 2 k P) / k <= 1 the row is at most (1 - k) k + k = L.
3. N <= |V_n D W_z + r U_n| + H R / 4 and P <= |V_u D W_z + U_u| as row sums, at worst over all
   diagonal D and all r within [0, 1] (relu, sigmoid, tanh' <= 1, sigmoid' <= 1/4), with
   H = |U_n| 1 + |c_n| and R as P of the reset gate. W_z is the input layer's part that sees z.
4. Both are linear in the weights of one row (V_n, U_n, c_n, V_u, U_u), so a row divided by its
   gauge has the gauge 1. For L < 1 the bias of u is lowered until u <= k over the whole box.

The certificate of final weights is `sdiwm_model.evaluation.lipschitz`, which shares no code with
this and assumes less.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

MARGIN = 0.04  # of the gauge, and of the logit of k: room for the rounding of weights to int8
NEAR = 1e-4  # a constraint that is met by less than this binds
RESET, UPDATE, CANDIDATE = range(3)  # thirds of the GRU's layers


class LipschitzConstraint:
    """Keeps a GRU's layers within a bound during training: projected gradient descent.

    Args:
        bound: L, more than 0.
        inputs: x = relu(inputs([z, a, c])).
        from_x, from_z: the gates r, u, n in thirds; z as wide as a third.
    """

    def __init__(
        self, bound: float, inputs: nn.Linear, from_x: nn.Linear, from_z: nn.Linear
    ) -> None:
        self._bound, self._inputs, self._from_x, self._from_z = bound, inputs, from_x, from_z
        self._parameters = [p for layer in (inputs, from_x, from_z) for p in layer.parameters()]

    @torch.no_grad()
    def project(self) -> None:
        """Scale every row that is beyond its bound back to it."""
        scale = ((1 - MARGIN) / self._gauge().clamp(min=1e-12)).clamp(max=1)
        for parameter, third in self._scaled():
            row = parameter.chunk(3)[third]
            row *= scale if row.ndim == 1 else scale[:, None]
        if self._bound < 1:
            self._from_x.bias.chunk(3)[UPDATE].sub_(relu(self._excess()))

    def constrain_gradients(self) -> None:
        """Turn gradients of the loss into those of the loss as a function of projected weights.

        Only where a row is at its bound and would leave it. With the projection alone training
        learns far more slowly: rescaling a row is not the shortest way back.
        """
        if self._bound < 1:
            with torch.enable_grad():
                excess = self._excess()
            higher = -_gradient(self._from_x.bias).chunk(3)[UPDATE]
            self._add_gradient(excess, (excess.detach() >= -NEAR) * relu(higher))
        with torch.enable_grad():
            gauge = self._gauge()
        reached = gauge.detach()
        longer = torch.zeros_like(reached)
        for parameter, third in self._scaled():
            products = (parameter.detach() * _gradient(parameter)).chunk(3)[third]
            longer -= products.reshape(len(reached), -1).sum(dim=1)
        full = reached >= (1 - MARGIN) * (1 - NEAR)
        self._add_gradient(gauge, full * relu(longer) / reached.clamp(min=1e-12))

    def _add_gradient(self, output: Tensor, pull: Tensor) -> None:
        added = torch.autograd.grad(output, self._parameters, pull, allow_unused=True)
        for parameter, change in zip(self._parameters, added, strict=True):
            if change is not None:
                parameter.grad = _gradient(parameter) + change

    def _scaled(self) -> list[tuple[Tensor, int]]:
        """The parameters that the gauge is linear in, each with its third."""
        return [
            (self._from_x.weight, UPDATE),
            (self._from_x.weight, CANDIDATE),
            (self._from_z.weight, UPDATE),
            (self._from_z.weight, CANDIDATE),
            (self._from_z.bias, CANDIDATE),
        ]

    def _gauge(self) -> Tensor:
        """Of every row, (Z,)."""
        latent = self._from_z.in_features
        of_z = self._inputs.weight[:, :latent]
        through_x = [_product(v, of_z) for v in self._from_x.weight.chunk(3)]
        direct = self._from_z.weight.chunk(3)
        reset, update = (
            _row_sums(through_x[third], direct[third], direct[third]) for third in (RESET, UPDATE)
        )
        h = direct[CANDIDATE].abs().sum(dim=1) + self._from_z.bias.chunk(3)[CANDIDATE].abs()
        none = torch.zeros_like(direct[CANDIDATE])
        low, high = torch.minimum(direct[CANDIDATE], none), torch.maximum(direct[CANDIDATE], none)
        candidate = _row_sums(through_x[CANDIDATE], low, high) + h * reset / 4
        return self._worst_mix(candidate, update)

    def _worst_mix(self, n: Tensor, p: Tensor) -> Tensor:
        """gauge(N, P) of the module's docstring."""
        if self._bound <= 1:
            return n / largest_update(self._bound) + 2 * p
        e = self._bound - 1
        a = n + 2 * self._bound * p
        peak = (e * a / (2 * p).clamp(min=1e-12)).sqrt()
        least = torch.sigmoid(self._before_update()[0])
        d = torch.minimum(peak.clamp(min=e), self._bound - least).detach()
        return a + 2 * e * p - 2 * p * d - e * a / d

    def _before_update(self) -> tuple[Tensor, Tensor]:
        """Least and greatest pre-activation of u over the box; shrinking a row shrinks both."""
        reach = self._inputs.weight.abs().sum(dim=1)
        low, high = relu(self._inputs.bias - reach), relu(self._inputs.bias + reach)
        v = self._from_x.weight.chunk(3)[UPDATE]
        bias = self._from_x.bias.chunk(3)[UPDATE] + self._from_z.bias.chunk(3)[UPDATE]
        direct = self._from_z.weight.chunk(3)[UPDATE].abs().sum(dim=1)
        least = relu(v) @ low - relu(-v) @ high - direct
        greatest = relu(v) @ high - relu(-v) @ low + direct
        return bias - relu(-least), bias + relu(greatest)

    def _excess(self) -> Tensor:
        """How far the pre-activation of u can rise above what L < 1 allows, (Z,)."""
        k = largest_update(self._bound)
        return self._before_update()[1] - (math.log(k / (1 - k)) - MARGIN)


def largest_update(bound: float) -> float:
    """k: how near to 1 the update gate may come, for L <= 1."""
    return 1 - math.sqrt(1 - bound)


def _product(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Elementwise least and greatest left @ D @ right over diagonal D within [0, 1]."""
    least = relu(left) @ relu(-right) + relu(-left) @ relu(right)
    return -least, relu(left) @ relu(right) + relu(-left) @ relu(-right)


def _row_sums(product: tuple[Tensor, Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Greatest row sums of |product + m| for any m from ``low`` to ``high``."""
    return torch.maximum(product[1] + high, -(product[0] + low)).sum(dim=1)


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
