"""Transformer blocks, shared by the vision transformer and the transformer dynamics."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

MLP_RATIO = 4
INITIAL_STD = 0.02  # of all weights, as in Dosovitskiy et al. (2021)


class SelfAttention(nn.Module):
    """Multi-head self-attention, Vaswani et al. (2017), section 3.2.2.

    causal: token i reads tokens 0..i only.
    """

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.read = nn.Linear(width, 3 * width)
        self.write = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, W) -> (B, N, W)."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for part in self.read(x).chunk(3, dim=-1)
        )
        read = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.write(read.transpose(-3, -2).flatten(-2))


class Block(nn.Module):
    """Pre-norm transformer block: x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, W) -> (B, N, W)."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))
