"""From the tokens of an instruction to c by cross-attention, once per sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import ModelSize

TEXT_WIDTH = 384
QUERIES = 8
QUERY_WIDTH = 32
DROPOUT = 0.25
CODE_LEVEL = 0.97
REFUSAL_WEIGHT = 0.5
"""Weight of unrelated sentences in the loss: a needless refusal annoys more than a missing one."""
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.3


class Tokeniser(Protocol):
    """What training needs of `text_encoder.TextEncoder`."""

    width: int

    def encode_many(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Sentences -> one (length, width) array of token embeddings each."""
        ...


def goal_codes(goals: int, width: int) -> Tensor:
    """The conditioning that each goal is trained towards: (goals, width), +-0.97, orthogonal.

    Rows 1.. of Sylvester's Hadamard matrix, so that a fresh training of the language module
    speaks to the same world model. `width` is a power of two above `goals`.
    """
    if width & (width - 1) or goals >= width:
        raise SdiwmError(
            f"{goals} goals do not fit a conditioning of {width}: use a power of two above {goals}."
        )
    matrix = torch.ones(1, 1)
    while len(matrix) < width:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return CODE_LEVEL * matrix[1 : goals + 1]


class LanguageFusion(nn.Module):
    """Learned queries attend to the tokens; what they read becomes c and a grounding.

    A query never changes, so it is kept multiplied with its keys' weights, as one row of `query`.
    The grounding has one logit a goal and a last one for sentences that name none of them.

    Out of training, c then recalls the code it resembles (the retrieval of a modern Hopfield
    network, Ramsauer et al. 2021, eq. 3): the heads were trained on the codes themselves, and a
    tenth of all sentences would otherwise land visibly beside one.
    """

    codes: Tensor

    def __init__(self, size: ModelSize, text_width: int = TEXT_WIDTH) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(text_width, elementwise_affine=False)
        self.query = nn.Linear(text_width, QUERIES)
        self.value = nn.Linear(text_width, QUERIES * QUERY_WIDTH)
        self.conditioning = nn.Linear(QUERIES * QUERY_WIDTH, size.conditioning)
        self.grounding = nn.Linear(QUERIES * QUERY_WIDTH, size.goals + 1)
        self.dropout = nn.Dropout(DROPOUT)
        codes = goal_codes(size.goals, size.conditioning)
        self.register_buffer("codes", codes, persistent=False)
        self.feature_dropout = nn.Dropout1d(DROPOUT)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, L, text_width), mask (B, L) bool -> c (B, C) in [-1, 1], logits (B, G + 1)."""
        x = self.feature_dropout(self.norm(tokens).transpose(1, 2)).transpose(1, 2)
        values = self.value(x).unflatten(-1, (QUERIES, QUERY_WIDTH))
        scores = self.query(x)
        scores = scores.masked_fill(~mask.unsqueeze(-1), -1e4)
        read = (torch.softmax(scores, dim=1).unsqueeze(-1) * values).sum(dim=1).flatten(1)
        read = self.dropout(functional.relu(read))
        c = torch.tanh(self.conditioning(read))
        if not self.training:
            c = torch.softmax(c @ self.codes.T, dim=-1) @ self.codes
        return c, self.grounding(read)


def language_loss(c: Tensor, logits: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy of the grounding, and c pulled onto its goal's code.

    Args:
        c, logits, labels: (B, C), (B, G + 1), (B,) with label G for unrelated sentences.
        codes: (G, C); an unrelated sentence has none, and its c is left alone.
    """
    named = labels < len(codes)
    pull = (c[named] - codes[labels[named]]).square().sum(dim=-1).mean() if named.any() else 0.0
    weight = torch.ones(logits.shape[-1])
    weight[-1] = REFUSAL_WEIGHT
    return functional.cross_entropy(logits, labels, weight, label_smoothing=0.02) + pull


def pad_tokens(tokens: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Sentences of (length, width) -> zero-padded (B, L, width) and the mask (B, L)."""
    lengths = torch.tensor([len(sentence) for sentence in tokens])
    padded = nn.utils.rnn.pad_sequence([torch.from_numpy(t) for t in tokens], batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths.unsqueeze(1)


def train_language(
    size: ModelSize,
    texts: Sequence[str],
    labels: Sequence[int],
    unrelated: Sequence[str],
    encoder: Tokeniser,
    seed: int,
    steps: int = 1500,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> LanguageFusion:
    """Fit the language module alone; its weights are frozen afterwards.

    Args:
        texts, labels: sentences and the goal, 0..goals-1, that each asks for.
        unrelated: sentences that must be refused.
        encoder: the frozen text encoder, called once for every sentence.
        report: told (step, loss) after each step.
    """
    embedded = encoder.encode_many([*texts, *unrelated])
    targets = torch.tensor([*labels, *[size.goals] * len(unrelated)])
    codes = goal_codes(size.goals, size.conditioning)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LanguageFusion(size, encoder.width).train()
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
        for step in range(steps):
            chosen = torch.randint(len(embedded), (BATCH,), generator=generator)
            tokens, mask = pad_tokens([embedded[i] for i in chosen.tolist()])
            c, logits = model(tokens, mask)
            loss = language_loss(c, logits, targets[chosen], codes)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            report(step, loss.item())
    return model.eval()


@torch.inference_mode()
def grounding_rates(
    model: LanguageFusion,
    encoder: Tokeniser,
    texts: Sequence[str],
    labels: Sequence[int],
    unrelated: Sequence[str],
) -> dict[str, float]:
    """How well sentences are understood: shares of the sentences given, 0 to 1.

    accuracy        of `texts` that are grounded in their label's goal
    false_refusals  of `texts` that are refused
    refused         of `unrelated` that are refused
    """
    _, logits = model(*pad_tokens(encoder.encode_many([*texts, *unrelated])))
    answers = logits.argmax(dim=-1)
    related, rest = answers[: len(texts)], answers[len(texts) :]
    refusal = logits.shape[-1] - 1
    return {
        "accuracy": (related == torch.tensor(labels)).float().mean().item(),
        "false_refusals": (related == refusal).float().mean().item(),
        "refused": (rest == refusal).float().mean().item(),
    }
