"""The world-action model: two diffusion transformers that share their attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdiwm_model.wam.anchor import Anchor
from sdiwm_model.wam.experts import GATES, MASKED, Expert, KeyValue, attend, joined, norm
from sdiwm_model.wam.sizes import WamSize
from sdiwm_model.wam.tokens import ActionTokens, FutureTokens, ObservationTokens, Ranker


@dataclass(frozen=True)
class Memory:
    """Keys and values of successive observations, (depth, B, T, heads, seen_tokens, head width).

    seen (B, T, O): the observations themselves.
    """

    keys: Tensor
    values: Tensor
    seen: Tensor

    def last(self, steps: int) -> Memory:
        """The newest ``steps`` of them."""
        return Memory(self.keys[:, :, -steps:], self.values[:, :, -steps:], self.seen[:, -steps:])


@dataclass(frozen=True)
class Context:
    """What a chunk looks back on.

    layers   keys and values of the window, the newest observation first, for each layer
    bias     added to the logits of those, (B, heads, 1, window * seen_tokens), for each layer
    newest   the newest observation, normalised, (B, O)
    now      its image features, (B, E)
    """

    layers: list[KeyValue]
    bias: list[Tensor]
    newest: Tensor
    now: Tensor

    def repeat(self, count: int) -> Context:
        """The same for ``count`` chunks from one observation (B = 1), without copying."""
        layers = [tuple(x.expand(count, -1, -1, -1) for x in pair) for pair in self.layers]
        bias = [x.expand(count, -1, -1, -1) for x in self.bias]
        newest, now = (x.expand(count, -1) for x in (self.newest, self.now))
        return Context([(k, v) for k, v in layers], bias, newest, now)


@dataclass(frozen=True)
class Noisy:
    """Tokens of one modality between noise (t = 0) and data (t = 1).

    x       (B, N, PATCH) of the future, (B, H, A) of the actions
    t       (B, N), or (B, 1) where all are as noisy
    span    of the step that will be taken, (B, 1); None for the velocity at t itself
    sees    (B,) whether the other modality is read; None for always
    kept    (n,) or (B, n) which of the future's tokens are in x, ascending; None for all of them
    """

    x: Tensor
    t: Tensor
    span: Tensor | None = None
    sees: Tensor | None = None
    kept: Tensor | None = None


@dataclass(frozen=True)
class Denoised:
    """What was found of each modality, where it was given.

    video    the velocity of the future's tokens, (B, N, PATCH)
    action   the actions as they are without noise, (B, H, A)
    read     keys and values of the future's tokens, for each layer
    hidden   the future's tokens after each layer, (B, N, video width)
    """

    video: Tensor | None
    action: Tensor | None
    read: list[KeyValue]
    hidden: list[Tensor]


class WorldActionModel(nn.Module):
    """Video expert (observations and imagined future) and action expert (a chunk of actions).

    Each has weights of its own; in every layer both read the observations of the window and each
    other (mixture of transformers, Liang et al. 2024, algorithm 1). Observations read only
    observations, and know of neither goal nor time: their keys and values are computed once and
    serve every pass of every chunk.
    """

    def __init__(self, size: WamSize) -> None:
        super().__init__()
        self.size = size
        self.observation = ObservationTokens(size)
        self.future = FutureTokens(size)
        self.actions = ActionTokens(size)
        self.anchor = Anchor(size)
        self.ranker = Ranker(size)
        self.video_expert = Expert(size, size.video_width, size.video_mlp)
        self.action_expert = Expert(size, size.action_width, size.action_mlp)
        seen = torch.zeros(size.depth, GATES, size.video_width)
        seen[:, [2, 5]] = 1.0  # open gates: observations are data from the start
        self.seen = nn.Parameter(seen)
        self.lag_video = nn.Parameter(torch.zeros(size.depth, size.heads, size.window))
        self.lag_action = nn.Parameter(torch.zeros(size.depth, size.heads, size.window))

    def observe(self, o: Tensor, past: Memory | None = None) -> Memory:
        """Observations o (B, T, O), one a model step, after ``past`` -> all of them.

        Each reads the window that ends with it. Only the last ``window - 1`` of the past count, so
        that a rolling cache of that length gives what computing the whole episode does.
        """
        x = self.observation(o)
        before = past.keys.shape[2] if past else 0
        ends = torch.arange(before, before + o.shape[1], device=o.device)
        keys, values = [], []
        for i, gates in enumerate(self.seen):
            layer = self.video_expert.layer(i)
            q, k, v = layer.ask(x, gates)
            if past:
                k, v = torch.cat([past.keys[i], k], 1), torch.cat([past.values[i], v], 1)
            keys.append(k)
            values.append(v)
            if i + 1 == self.size.depth:
                break  # nobody reads what the last layer would make of them
            window = [_window(part, ends, self.size.window).flatten(0, 1) for part in (k, v)]
            bias = self._bias(self.lag_video[i], ends).expand(len(o), -1, -1, -1, -1)
            answer = attend(q.flatten(0, 1), (window[0], window[1]), bias.flatten(0, 1))
            x = layer.take(x, gates, answer.unflatten(0, o.shape[:2]))
        seen = torch.cat([past.seen, o], dim=1) if past else o
        return Memory(torch.stack(keys), torch.stack(values), seen)

    def context(self, memory: Memory, ends: Tensor | None = None) -> Context:
        """What chunks at the steps ``ends`` (S,) of ``memory`` look back on, (B * S) of them.

        ends: None for the newest alone.
        """
        seen = memory.seen
        if ends is None:
            ends = torch.tensor([seen.shape[1] - 1], device=seen.device)
        layers, bias = [], []
        for i in range(self.size.depth):
            k, v = (
                _window(part[i], ends, self.size.window).flatten(0, 1)
                for part in (memory.keys, memory.values)
            )
            layers.append((k, v))
            each = self._bias(self.lag_action[i], ends)
            bias.append(each.expand(len(seen), -1, -1, -1, -1).flatten(0, 1))
        newest = seen[:, ends].flatten(0, 1)
        now = newest[:, self.size.latent :][:, : self.size.features]
        return Context(layers, bias, self.observation.normalised(newest), now)

    def denoise(
        self,
        context: Context,
        c: Tensor,
        video: Noisy | None = None,
        action: Noisy | None = None,
        read: list[KeyValue] | None = None,
    ) -> Denoised:
        """One pass through the experts whose tokens are given.

        Args:
            context: of B chunks.
            c: the goal, (B, C).
            read: the future's keys and values of an earlier pass, for actions without ``video``.
        """
        tokens, gates = self._embedded(context.newest, c, video, action)
        found: list[KeyValue] = []
        hidden: list[Tensor] = []
        for i in range(self.size.depth):
            layers = {name: self._experts[name].layer(i) for name in tokens}
            asked = {name: layers[name].ask(x, gates[name][i]) for name, x in tokens.items()}
            parts = {name: (k, v) for name, (_, k, v) in asked.items()}
            if "video" in parts:
                found.append(parts["video"])
            elif read is not None:
                parts["video"] = read[i]
            everything = joined([context.layers[i], *parts.values()])
            for name, noisy in (("video", video), ("action", action)):
                if noisy is None:
                    continue
                bias = _joint_bias(context.bias[i], parts, name, noisy.sees)
                answer = attend(asked[name][0], everything, bias)
                tokens[name] = layers[name].take(tokens[name], gates[name][i], answer)
            if video is not None:
                hidden.append(tokens["video"])
        return Denoised(
            self._video_velocity(tokens["video"], video.kept) if video else None,
            self._clean_actions(tokens["action"], context.newest, c) if action else None,
            found or read or [],
            hidden,
        )

    def rank(self, context: Context, c: Tensor) -> Tensor:
        """Scores (B, video_tokens) of the future's tokens: the higher, the more they are read."""
        values = context.layers[-1][1][:, :, : self.size.seen_tokens]
        return self.ranker(values, c)

    def _embedded(
        self, newest: Tensor, c: Tensor, video: Noisy | None, action: Noisy | None
    ) -> tuple[dict[str, Tensor], dict[str, list[Tensor]]]:
        """First tokens and gates of all layers, by expert."""
        tokens, gates = {}, {}
        if video is not None:
            tokens["video"] = self._placed(video)
            gates["video"] = self.video_expert.conditioning(video.t, _span(video), c, newest)
        if action is not None:
            tokens["action"] = self.actions.embed(action.x)
            gates["action"] = self.action_expert.conditioning(action.t, _span(action), c, newest)
        return tokens, gates

    def _placed(self, video: Noisy) -> Tensor:
        if video.kept is None:
            return self.future.read(video.x)
        return self.future.read.some(video.x, video.kept)

    def _clean_actions(self, x: Tensor, newest: Tensor, c: Tensor) -> Tensor:
        return self.anchor(newest, c) + self.actions.write(norm(x))

    def _video_velocity(self, x: Tensor, kept: Tensor | None) -> Tensor:
        x = norm(x)
        return self.future.write(x) if kept is None else self.future.write.some(x, kept)

    @property
    def _experts(self) -> dict[str, Expert]:
        return {"video": self.video_expert, "action": self.action_expert}

    def _bias(self, lag: Tensor, ends: Tensor) -> Tensor:
        """lag (heads, window) -> (S, heads, 1, window * seen_tokens) for the steps ends (S,)."""
        missing = ends[:, None] < torch.arange(self.size.window, device=ends.device)
        bias = lag + MASKED * missing[:, None, :]
        return bias.repeat_interleave(self.size.seen_tokens, dim=-1).unsqueeze(-2)


def _window(x: Tensor, ends: Tensor, window: int) -> Tensor:
    """x (B, T, heads, n, d) -> each end's window, newest first, (B, S, heads, window * n, d)."""
    index = (ends[:, None] - torch.arange(window, device=ends.device)).clamp(min=0)
    found = x.index_select(1, index.flatten()).unflatten(1, index.shape)
    return found.transpose(2, 3).flatten(3, 4)


def _span(noisy: Noisy) -> Tensor:
    return torch.zeros_like(noisy.t[:, :1]) if noisy.span is None else noisy.span


def _joint_bias(
    context: Tensor, parts: dict[str, KeyValue], reader: str, sees: Tensor | None
) -> Tensor:
    """Logit biases of what ``reader`` reads: the context, then the tokens of ``parts``."""
    biases = [context]
    for name, (k, _) in parts.items():
        bias = torch.zeros(len(k), 1, 1, k.shape[-2], dtype=k.dtype, device=k.device)
        if name != reader and sees is not None:
            bias = bias + MASKED * (~sees).to(k.dtype)[:, None, None, None]
        biases.append(bias.expand(-1, context.shape[1], -1, -1))
    return torch.cat(biases, dim=-1)
