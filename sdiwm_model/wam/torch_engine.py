"""The world-action model executed by torch in float32: the reference for every other engine."""

from __future__ import annotations

import numpy as np
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array
from sdiwm_model.runtime.checks import as_floats
from sdiwm_model.wam.dropping import any_half, best_half
from sdiwm_model.wam.flow import Sample, sample
from sdiwm_model.wam.model import Context, Memory, WorldActionModel
from sdiwm_model.wam.noise import SEED, video_noise
from sdiwm_model.wam.protocols import StepPair


class TorchWamEngine:
    """See protocols.WamEngine.

    Args:
        token_drop: "none", "random" or "ranked": which half of the future is not imagined.
        one_step: whether action steps are as the few-step head was taught them.
    """

    def __init__(
        self, model: WorldActionModel, token_drop: str = "none", one_step: bool = False
    ) -> None:
        self.model = model.eval()
        self.size = model.size
        self._token_drop, self._one_step = token_drop, one_step
        self.begin()

    def begin(self) -> None:
        """Forget the episode."""
        self._memory: Memory | None = None
        self._rng = np.random.default_rng(SEED)

    @torch.inference_mode()
    def observe(self, o: Array) -> None:
        """Append one observation o (O,)."""
        o = as_floats("o", o, (self.size.observation,))
        memory = self.model.observe(torch.tensor(o)[None, None], self._memory)
        self._memory = memory.last(self.size.window)

    def chunk(self, c: Array, noise: Array, steps: StepPair, prefix: Array | None = None) -> Array:
        """c (C,), noise (H, A), prefix (k, A) -> (H, A)."""
        return self.chunks(c, as_floats("noise", noise, self._chunk)[None], steps, prefix)[0]

    def chunks(self, c: Array, noise: Array, steps: StepPair, prefix: Array | None = None) -> Array:
        """c (C,), noise (N, H, A), prefix (k, A) -> (N, H, A)."""
        return self._sample(c, noise, steps, prefix).actions.clamp(-1.0, 1.0).numpy()

    def imagine(self, c: Array, noise: Array, steps: StepPair) -> Array:
        """c (C,), noise (H, A) -> future image features (F, E)."""
        if steps.mode == "policy":
            raise SdiwmError("mode 'policy' imagines nothing: choose 'joint' or 'inverse'")
        found = self._sample(c, as_floats("noise", noise, self._chunk)[None], steps, None)
        assert self._memory is not None
        now = self._memory.seen[:, -1, self.size.latent :][:, : self.size.features]
        return self.model.future.features(now, found.video).numpy()[0]

    @property
    def _chunk(self) -> tuple[int, int]:
        return self.size.chunk, self.size.action

    @torch.inference_mode()
    def _sample(self, c: Array, noise: Array, steps: StepPair, prefix: Array | None) -> Sample:
        if self._memory is None:
            raise SdiwmError("no chunk without an observation: call observe first")
        noise = as_floats("noise", noise, (None, *self._chunk))
        count = len(noise)
        goal = torch.tensor(as_floats("c", c, (self.size.conditioning,))).expand(count, -1)
        context = self.model.context(self._memory).repeat(count)
        video = torch.from_numpy(video_noise(self.size)).expand(count, -1, -1)
        return sample(
            self.model,
            context,
            goal,
            (video, torch.tensor(noise)),
            steps,
            self._prefix(prefix, count),
            self._kept(context, goal, steps),
            self._one_step,
        )

    def _kept(self, context: Context, goal: torch.Tensor, steps: StepPair) -> torch.Tensor | None:
        if self._token_drop == "none" or steps.mode == "policy":
            return None
        if self._token_drop == "random":
            return torch.from_numpy(any_half(self.size.video_tokens, self._rng))
        return torch.from_numpy(best_half(self.model.rank(context, goal)[0].numpy()))

    def _prefix(self, prefix: Array | None, count: int) -> torch.Tensor | None:
        if prefix is None or not len(prefix):
            return None
        prefix = as_floats("prefix", prefix, (None, self.size.action))
        if len(prefix) > self.size.chunk:
            raise SdiwmError(
                f"the prefix holds {len(prefix)} actions, a chunk {self.size.chunk}: cut it"
            )
        return torch.tensor(np.asarray(prefix)).expand(count, -1, -1)
