"""A certified bound on how much the dynamics can stretch a difference of latents.

Claim: for all latents |z|, |z~| <= 1, actions |a| <= 1 and conditionings |c| <= 1,
|f(z, a, c) - f(z~, a, c)|_inf <= L |z - z~|_inf. Derivation, from the weights alone:

1. f is continuous and piecewise smooth (relu), and the box |z| <= 1 is convex. So L may be any
   bound on the inf-norm of the Jacobian, the largest absolute row sum, over the box.
2. The input layer x = relu(W_z z + W_a a + W_c c + b) has the Jacobian D W_z, D diagonal with
   entries in [0, 1] (0 where a unit is certainly off, 1 where it is certainly on: interval
   arithmetic gives each unit's range over the box). So an entry of V D W_z lies between the sums
   over k of the negative and of the positive products V_ik W_kj, and adding a matrix U shifts both
   ends: `Interval`.
3. Gates: r = sig(p_r), u = sig(p_u), n = tanh(q), q = i_n + r h with h = U_n z + c_n.
   J(q) = V_n D W_z + r U_n + diag(h r (1 - r)) J(p_r), 0 <= r <= 1, r (1 - r) <= s_r <= 1/4, and
   |h| <= H = |U_n| 1 + |c_n|. The first two terms are one interval; its row sum plus
   H s_r |J(p_r)| bounds row i of J(q), and tanh' <= t_i <= 1 gives N_i for row i of J(n).
4. z' = (1 - u) n + u z. Row i of its Jacobian is (1 - u) J(n) + u e_i + (z_i - n_i) u (1 - u)
   J(p_u), at most g(u) = (1 - u) N_i + u + u (1 - u) S_i P_i, with P_i the bound on row i of
   J(p_u) and S_i = 1 + max |n_i| <= 2 that on |z_i - n_i|. g is a concave parabola: its maximum
   over the range of u is at an end or at u = 1/2 + (1 - N_i) / (2 S_i P_i).
5. L is the maximum over i.

s_r, t_i and the range of u come from the intervals of the pre-activations over the box. The bound
is loose where a model is not trained to have a small one: it holds for every input at once. Of
int8 rounding it says nothing: that adds a bounded error and no slope, see `rounding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Weights = Mapping[str, Array]
INPUT_LIMIT = "dynamics.input.limit"


@dataclass(frozen=True)
class Interval:
    """Elementwise bounds."""

    low: Array
    high: Array

    def __add__(self, other: Interval | Array) -> Interval:
        if isinstance(other, Interval):
            return Interval(self.low + other.low, self.high + other.high)
        return Interval(self.low + other, self.high + other)

    def wider(self, error: Array) -> Interval:
        """What is in this interval, give or take an error."""
        return Interval(self.low - error, self.high + error)

    def magnitude(self) -> Array:
        """Largest absolute values."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def apply(self, increasing: Any) -> Interval:
        """The values of an increasing function."""
        return Interval(increasing(self.low), increasing(self.high))

    def through(self, matrix: Array) -> Interval:
        """matrix @ x for a vector x in this interval."""
        positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
        return Interval(
            positive @ self.low + negative @ self.high, positive @ self.high + negative @ self.low
        )


@dataclass(frozen=True)
class Ranges:
    """What every intermediate result can be, over all inputs within [-1, 1].

    x, slopes       (X,) of the input layer, and of the derivative of its relu
    inputs, hidden  (Z,) each: the parts of r, u and n that come from x and from z
    r, u, q         (Z,) the gates, and the candidate before its tanh
    """

    x: Interval
    slopes: Interval
    inputs: tuple[Interval, ...]
    hidden: tuple[Interval, ...]
    r: Interval
    u: Interval
    q: Interval


def ranges(weights: Weights) -> Ranges:
    """Interval arithmetic over the box, from tensors as `certified_bound` takes them."""
    w = dynamics_of(weights)
    into, limit = w["dynamics.input.weight"], w.get(INPUT_LIMIT, np.inf)
    before = _box(into.shape[1]).through(into) + w["dynamics.input.bias"]
    x = before.apply(lambda value: np.clip(value, 0, limit))
    always = (before.low > 0) & (before.high <= limit)
    slopes = Interval(always * 1.0, ((before.high > 0) & (before.low < limit)) * 1.0)
    z = _box(w["dynamics.gru_hidden.weight"].shape[1])
    inputs, hidden = _gates(w, "dynamics.gru_input", x), _gates(w, "dynamics.gru_hidden", z)
    r, u = ((inputs[gate] + hidden[gate]).apply(_sigmoid) for gate in (0, 1))
    return Ranges(x, slopes, inputs, hidden, r, u, inputs[2] + _times(r, hidden[2]))


def certified_bound(weights: Weights) -> float:
    """L of the module's docstring.

    Args:
        weights: a model's tensors by the names of its state dict (`dynamics.*`); `INPUT_LIMIT`,
            where it is among them, is where the input layer saturates.
    """
    w, box = dynamics_of(weights), ranges(weights)
    into, latent = w["dynamics.input.weight"], w["dynamics.gru_hidden.weight"].shape[1]
    from_z = thirds(w["dynamics.gru_hidden.weight"])
    through_x = [
        _product(v, box.slopes, into[:, :latent]) for v in thirds(w["dynamics.gru_input.weight"])
    ]
    rows_r = (through_x[0] + from_z[0]).magnitude().sum(axis=1)
    rows_u = (through_x[1] + from_z[1]).magnitude().sum(axis=1)
    h, before_r = box.hidden[2].magnitude(), box.inputs[0] + box.hidden[0]
    gated = (through_x[2] + _scaled(from_z[2], box.r)).magnitude().sum(axis=1)
    rows_n = (gated + h * sigmoid_slope(before_r) * rows_r) * _tanh_slope(box.q)
    return float(_worst_mix(rows_n, spread(box.q) * rows_u, box.u).max())


def jacobian(weights: Weights, z: Array, a: Array, c: Array) -> Array:
    """The Jacobian of z' in z at one point: z (Z,), a (A,), c (C,) -> (Z, Z)."""
    w = dynamics_of(weights)
    into = w["dynamics.input.weight"]
    before = into @ np.concatenate([z, a, c]) + w["dynamics.input.bias"]
    limit = w.get(INPUT_LIMIT, np.inf)
    dx = ((before > 0) & (before < limit))[:, None] * into[:, : len(z)]
    x = np.clip(before, 0, limit)
    v = thirds(w["dynamics.gru_input.weight"])
    s = thirds(w["dynamics.gru_hidden.weight"])
    inputs = thirds(w["dynamics.gru_input.weight"] @ x + w["dynamics.gru_input.bias"])
    hidden = thirds(w["dynamics.gru_hidden.weight"] @ z + w["dynamics.gru_hidden.bias"])
    r, u = _sigmoid(inputs[0] + hidden[0]), _sigmoid(inputs[1] + hidden[1])
    n = np.tanh(inputs[2] + r * hidden[2])
    dr = (r * (1 - r))[:, None] * (v[0] @ dx + s[0])
    du = (u * (1 - u))[:, None] * (v[1] @ dx + s[1])
    dn = (1 - n**2)[:, None] * (v[2] @ dx + r[:, None] * s[2] + hidden[2][:, None] * dr)
    return (1 - u)[:, None] * dn + np.diag(u) + (z - n)[:, None] * du


def infinity_norm(matrix: Array) -> float:
    """Largest absolute row sum."""
    return float(np.abs(matrix).sum(axis=1).max())


def dynamics_of(weights: Weights) -> dict[str, Array]:
    """Only the tensors of the dynamics, in double precision."""
    chosen = {name: value for name, value in weights.items() if name.startswith("dynamics.")}
    return {name: np.asarray(value, np.float64) for name, value in chosen.items()}


def _gates(w: Weights, name: str, value: Interval) -> tuple[Interval, ...]:
    layers = zip(thirds(w[f"{name}.weight"]), thirds(w[f"{name}.bias"]), strict=True)
    return tuple(value.through(matrix) + bias for matrix, bias in layers)


def _worst_mix(rows_n: Array, stretch: Array, u: Interval) -> Array:
    """Maximum over u of (1 - u) N + u + u (1 - u) S P, row by row (step 4); ``stretch`` is S P."""
    peak = 0.5 + (1 - rows_n) / np.maximum(2 * stretch, np.finfo(np.float64).tiny)
    candidates = (u.low, u.high, np.clip(peak, u.low, u.high))
    return np.max([(1 - g) * rows_n + g + g * (1 - g) * stretch for g in candidates], axis=0)


def _box(width: int) -> Interval:
    return Interval(-np.ones(width), np.ones(width))


def thirds(stacked: Array) -> list[Array]:
    """The rows of the gates r, u and n."""
    return np.split(stacked, 3)


def _product(left: Array, slopes: Interval, right: Array) -> Interval:
    """Bounds of left @ D @ right for diagonal D within ``slopes``."""
    terms = left[:, :, None] * right[None]
    low, high = slopes.low[None, :, None], slopes.high[None, :, None]
    return Interval(
        np.minimum(low * terms, high * terms).sum(axis=1),
        np.maximum(low * terms, high * terms).sum(axis=1),
    )


def _scaled(matrix: Array, rows: Interval) -> Interval:
    """Bounds of diag(r) @ matrix, r in ``rows``."""
    low, high = rows.low[:, None] * matrix, rows.high[:, None] * matrix
    return Interval(np.minimum(low, high), np.maximum(low, high))


def _times(a: Interval, b: Interval) -> Interval:
    corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
    return Interval(np.min(corners, axis=0), np.max(corners, axis=0))


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def sigmoid_slope(x: Interval) -> Array:
    """Largest derivative of the logistic function within the interval."""
    nearest = _sigmoid(np.clip(0.0, x.low, x.high))
    return nearest * (1 - nearest)


def spread(q: Interval) -> Array:
    """Largest |z - n| for |z| <= 1 and n = tanh(q)."""
    return 1 + np.tanh(q.magnitude())


def _tanh_slope(x: Interval) -> Array:
    """Largest derivative of tanh within the interval."""
    nearest = np.clip(0.0, x.low, x.high)
    return 1 - np.tanh(nearest) ** 2
