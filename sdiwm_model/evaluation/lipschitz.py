"""A certified bound on how much the dynamics can stretch a difference of latents.

Claim: for all latents |z|, |z~| <= 1, actions |a| <= 1 and conditionings |c| <= 1,
|f(z, a, c) - f(z~, a, c)|_inf <= L |z - z~|_inf. Derivation, from the weights alone:

1. f is continuous and piecewise smooth (relu), and the box |z| <= 1 is convex. So L may be any
   bound on the inf-norm of the Jacobian, the largest absolute row sum, over the box.
2. The input layer x = relu(W_z z + W_a a + W_c c + b) has the Jacobian D W_z, D diagonal with
   entries in [0, 1] (0 where a unit is certainly off: interval arithmetic gives each unit's
   range over the box). So an entry of V D W_z lies between the sums over k of the negative and of
   the positive products V_ik W_kj, and adding a matrix U shifts both ends: `_Interval`.
3. Gates: r = sig(p_r), u = sig(p_u), n = tanh(q), q = i_n + r h with h = U_n z + c_n.
   J(q) = V_n D W_z + r U_n + diag(h r (1 - r)) J(p_r), 0 <= r <= 1, r (1 - r) <= s_r <= 1/4, and
   |h| <= H = |U_n| 1 + |c_n|. The first two terms are one interval; its row sum plus
   H s_r |J(p_r)| bounds row i of J(q), and tanh' <= t_i <= 1 gives N_i for row i of J(n).
4. z' = (1 - u) n + u z. Row i of its Jacobian is (1 - u) J(n) + u e_i + (z_i - n_i) u (1 - u)
   J(p_u), at most g(u) = (1 - u) N_i + u + 2 u (1 - u) P_i, since |z_i - n_i| <= 2, with P_i the
   bound on row i of J(p_u). g is a concave parabola: its maximum over the range of u is at an end
   or at u = 1/2 + (1 - N_i) / (4 P_i).
5. L is the maximum over i.

s_r, t_i and the range of u come from the intervals of the pre-activations over the box. The bound
is loose by design: it holds for every input at once. It says nothing of int8 rounding, which adds
a bounded error and no slope.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class _Interval:
    """Elementwise bounds."""

    low: Array
    high: Array

    def __add__(self, other: _Interval | Array) -> _Interval:
        if isinstance(other, _Interval):
            return _Interval(self.low + other.low, self.high + other.high)
        return _Interval(self.low + other, self.high + other)

    def magnitude(self) -> Array:
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def apply(self, increasing: Any) -> _Interval:
        return _Interval(increasing(self.low), increasing(self.high))

    def through(self, matrix: Array) -> _Interval:
        """matrix @ x for a vector x in this interval."""
        positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
        return _Interval(
            positive @ self.low + negative @ self.high, positive @ self.high + negative @ self.low
        )


def certified_bound(weights: Weights) -> float:
    """L of the module's docstring.

    Args:
        weights: a model's tensors by the names of its state dict (`dynamics.*`).
    """
    w = _dynamics(weights)
    latent = w["dynamics.gru_hidden.weight"].shape[1]
    into = w["dynamics.input.weight"]
    x_before = _box(into.shape[1]).through(into) + w["dynamics.input.bias"]
    slopes = _Interval((x_before.low > 0) * 1.0, (x_before.high > 0) * 1.0)
    x = x_before.apply(lambda value: np.maximum(value, 0))
    from_x = _thirds(w["dynamics.gru_input.weight"])
    from_z = _thirds(w["dynamics.gru_hidden.weight"])
    bias_x = _thirds(w["dynamics.gru_input.bias"])
    bias_z = _thirds(w["dynamics.gru_hidden.bias"])

    z_range = _box(latent)
    inputs = [x.through(v) + b for v, b in zip(from_x, bias_x, strict=True)]
    hidden = [z_range.through(v) + b for v, b in zip(from_z, bias_z, strict=True)]
    through_x = [_product(v, slopes, into[:, :latent]) for v in from_x]

    r = (inputs[0] + hidden[0]).apply(_sigmoid)
    u = (inputs[1] + hidden[1]).apply(_sigmoid)
    rows_r = (through_x[0] + from_z[0]).magnitude().sum(axis=1)
    rows_u = (through_x[1] + from_z[1]).magnitude().sum(axis=1)
    gated = _scaled(from_z[2], r)
    h = hidden[2].magnitude()
    rows_q = (through_x[2] + gated).magnitude().sum(axis=1) + h * _sigmoid_slope(r) * rows_r
    q = inputs[2] + _times(r, hidden[2])
    rows_n = rows_q * _tanh_slope(q)
    return float(_worst_mix(rows_n, rows_u, u).max())


def jacobian(weights: Weights, z: Array, a: Array, c: Array) -> Array:
    """The Jacobian of z' in z at one point: z (Z,), a (A,), c (C,) -> (Z, Z)."""
    w = _dynamics(weights)
    into = w["dynamics.input.weight"]
    before = into @ np.concatenate([z, a, c]) + w["dynamics.input.bias"]
    dx = (before > 0)[:, None] * into[:, : len(z)]
    x = np.maximum(before, 0)
    v = _thirds(w["dynamics.gru_input.weight"])
    s = _thirds(w["dynamics.gru_hidden.weight"])
    inputs = _thirds(w["dynamics.gru_input.weight"] @ x + w["dynamics.gru_input.bias"])
    hidden = _thirds(w["dynamics.gru_hidden.weight"] @ z + w["dynamics.gru_hidden.bias"])
    r, u = _sigmoid(inputs[0] + hidden[0]), _sigmoid(inputs[1] + hidden[1])
    n = np.tanh(inputs[2] + r * hidden[2])
    dr = (r * (1 - r))[:, None] * (v[0] @ dx + s[0])
    du = (u * (1 - u))[:, None] * (v[1] @ dx + s[1])
    dn = (1 - n**2)[:, None] * (v[2] @ dx + r[:, None] * s[2] + hidden[2][:, None] * dr)
    return (1 - u)[:, None] * dn + np.diag(u) + (z - n)[:, None] * du


def infinity_norm(matrix: Array) -> float:
    """Largest absolute row sum."""
    return float(np.abs(matrix).sum(axis=1).max())


def _dynamics(weights: Weights) -> dict[str, Array]:
    chosen = {name: value for name, value in weights.items() if name.startswith("dynamics.")}
    return {name: np.asarray(value, np.float64) for name, value in chosen.items()}


def _worst_mix(rows_n: Array, rows_u: Array, u: _Interval) -> Array:
    """Maximum over u of (1 - u) N + u + 2 u (1 - u) P, row by row (step 4)."""
    peak = 0.5 + (1 - rows_n) / np.maximum(4 * rows_u, np.finfo(np.float64).tiny)
    candidates = (u.low, u.high, np.clip(peak, u.low, u.high))
    return np.max([(1 - g) * rows_n + g + 2 * g * (1 - g) * rows_u for g in candidates], axis=0)


def _box(width: int) -> _Interval:
    return _Interval(-np.ones(width), np.ones(width))


def _thirds(stacked: Array) -> list[Array]:
    return np.split(stacked, 3)


def _product(left: Array, slopes: _Interval, right: Array) -> _Interval:
    """Bounds of left @ D @ right for diagonal D within ``slopes``."""
    terms = left[:, :, None] * right[None]
    low, high = slopes.low[None, :, None], slopes.high[None, :, None]
    return _Interval(
        np.minimum(low * terms, high * terms).sum(axis=1),
        np.maximum(low * terms, high * terms).sum(axis=1),
    )


def _scaled(matrix: Array, rows: _Interval) -> _Interval:
    """Bounds of diag(r) @ matrix, r in ``rows``."""
    low, high = rows.low[:, None] * matrix, rows.high[:, None] * matrix
    return _Interval(np.minimum(low, high), np.maximum(low, high))


def _times(a: _Interval, b: _Interval) -> _Interval:
    corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
    return _Interval(np.min(corners, axis=0), np.max(corners, axis=0))


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _sigmoid_slope(y: _Interval) -> Array:
    """Largest y (1 - y) within the interval."""
    nearest = np.clip(0.5, y.low, y.high)
    return nearest * (1 - nearest)


def _tanh_slope(x: _Interval) -> Array:
    """Largest derivative of tanh within the interval."""
    nearest = np.clip(0.0, x.low, x.high)
    return 1 - np.tanh(nearest) ** 2
