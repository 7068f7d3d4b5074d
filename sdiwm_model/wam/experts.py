"""One expert of the mixture: a narrow diffusion transformer whose attention is shared."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.wam.sizes import WamSize

FREQUENCIES = 16  # of the sinusoids that a time is told by
FASTEST = 100.0  # radians from t = 0 to 1
GATES = 6  # shift, scale and gate of the attention, then of the MLP
MASKED = -1e4  # added to the logits of what must not be read; finite in float16

KeyValue = tuple[Tensor, Tensor]  # keys, values (B, heads, tokens, head width)


def norm(x: Tensor) -> Tensor:
    """Layer normalisation without a gain of its own: that is what the gates are for."""
    return functional.layer_norm(x, x.shape[-1:])


def sinusoids(t: Tensor) -> Tensor:
    """Times (...) in [0, 1] -> (..., 2 * FREQUENCIES)."""
    span = torch.linspace(0.0, math.log(FASTEST), FREQUENCIES, device=t.device)
    angle = t.unsqueeze(-1) * span.exp()
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Conditioning(nn.Module):
    """Time and span of a token, goal and newest observation -> the gates of all layers.

    The tokens say where things are, and attention finds them; what goal and observation mean
    together is learned much faster from here, where both meet in one small network.

    One network serves all layers, each of which adds a table of its own: adaLN-single of PixArt-α
    (Chen et al. 2023, section 2.3), which saves a quarter of a DiT's parameters.
    """

    def __init__(self, width: int, conditioning: int, observation: int, depth: int) -> None:
        super().__init__()
        self.time = nn.Linear(2 * FREQUENCIES, width)
        self.span = nn.Linear(2 * FREQUENCIES, width, bias=False)
        self.goal = nn.Linear(conditioning, width)
        self.seen = nn.Linear(observation, width, bias=False)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, GATES * width)
        self.table = nn.Parameter(torch.zeros(depth, GATES, width))
        for layer in (self.output, self.span):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, t: Tensor, span: Tensor, c: Tensor, seen: Tensor) -> list[Tensor]:
        """t, span (B, N or 1), c (B, C) -> gates of each layer, (B, N or 1, GATES, width).

        seen: the newest observation, normalised, (B, O).
        span: how far one step of the velocity will be followed; 0 for the velocity at t itself.
        """
        told = self.time(sinusoids(t)) + self.span(sinusoids(span) - sinusoids(torch.zeros(1)))
        x = functional.silu(told + (self.goal(c) + self.seen(seen)).unsqueeze(1))
        x = functional.silu(self.hidden(x))
        gates = self.output(x).unflatten(-1, (GATES, -1))
        return [gates + row for row in self.table]


class Layer(nn.Module):
    """A pre-norm transformer layer with gates from outside (DiT, Peebles & Xie 2023)."""

    def __init__(self, width: int, heads: int, head_width: int, mlp: int) -> None:
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(width, 3 * heads * head_width)
        self.write = nn.Linear(heads * head_width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp * width), nn.GELU("tanh"), nn.Linear(mlp * width, width)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def ask(self, x: Tensor, gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (..., N, width) -> queries, keys, values (..., heads, N, head width)."""
        shift, scale, *_ = gates.unbind(-2)
        read = self.read(norm(x) * (1.0 + scale) + shift).unflatten(-1, (3 * self.heads, -1))
        q, k, v = read.transpose(-3, -2).chunk(3, dim=-3)
        return q, k, v

    def take(self, x: Tensor, gates: Tensor, answer: Tensor) -> Tensor:
        """The tokens after what the attention gave, (..., heads, N, head width), and the MLP."""
        *_, gate, shift, scale, gate_mlp = gates.unbind(-2)
        x = x + gate * self.write(answer.transpose(-3, -2).flatten(-2))
        return x + gate_mlp * self.mlp(norm(x) * (1.0 + scale) + shift)


def joined(parts: list[KeyValue]) -> KeyValue:
    """Keys and values of all tokens of ``parts``."""
    keys, values = zip(*parts, strict=True)
    return torch.cat(keys, dim=-2), torch.cat(values, dim=-2)


def attend(q: Tensor, read: KeyValue, bias: Tensor) -> Tensor:
    """Softmax attention of q (B, heads, N, d) over the tokens ``read``.

    Written out: no fused kernel of a CPU takes a bias that is learned.

    bias: added to the logits, (B or 1, heads or 1, N or 1, tokens).
    """
    k, v = read
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return (logits + bias.to(logits.dtype)).softmax(dim=-1) @ v


class Expert(nn.Module):
    """The layers of one modality, and what tells them time and goal."""

    def __init__(self, size: WamSize, width: int, mlp: int) -> None:
        super().__init__()
        self.conditioning = Conditioning(width, size.conditioning, size.observation, size.depth)
        self.layers = nn.ModuleList(
            Layer(width, size.heads, size.head_width, mlp) for _ in range(size.depth)
        )

    def layer(self, i: int) -> Layer:
        """Layer i, as what it is."""
        layer = self.layers[i]
        assert isinstance(layer, Layer)
        return layer
