"""How well a robot's model does on held-out episodes, in torch and without words or export.

The figures are those in which an image encoder shows: what the latent tells of the state and of
the costs now, and HRI for how far ahead it can be rolled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.horizon import Whitening, probe_errors, similarity
from sdiwm_model.evaluation.imagination import spread_starts, windows
from sdiwm_model.language import goal_codes
from sdiwm_model.training.batches import Experience, all_with_history, encode_frames
from sdiwm_model.world_model import WorldModel

STARTS = 4
STATISTICS_EPISODES = 100


@dataclass(frozen=True)
class Judgement:
    """Episodes that models of one task are judged on.

    training  episodes whose latents' statistics whiten
    heldout   episodes to be judged on, all cut to the shortest; goals: that of each, (episodes,)
    groups    what the numbers of the state are, as data manifests have it
    steps     T
    unit      of the data's costs that one of the model's is
    """

    training: Experience
    heldout: Experience
    goals: Tensor
    groups: list[dict[str, Any]]
    steps: int
    unit: float

    @staticmethod
    def read(training: ShardReader, heldout: ShardReader, steps: int) -> Judgement:
        """Load the held-out episodes, and `STATISTICS_EPISODES` spread evenly over the others.

        Raises:
            SdiwmError: the goal is told by a picture, for which there is no code.
        """
        task = heldout.task
        if task.get("goal_modality") == "image":
            raise SdiwmError(
                f"task '{task['name']}' tells its goal by a picture: transfer is measured on tasks "
                "whose goals have names"
            )
        unit, lags = task["cost_unit"], task["camera_lags"]
        last, count = len(training) - 1, min(len(training), STATISTICS_EPISODES)
        some = [training.read(i) for i in torch.linspace(0, last, count).round().int().tolist()]
        judged = list(heldout.episodes())
        return Judgement(
            training=Experience.from_episodes(some, unit, lags),
            heldout=Experience.from_episodes(judged, unit, lags),
            goals=torch.tensor([episode.goal for episode in judged]),
            groups=task["state_groups"],
            steps=steps,
            unit=unit,
        )

    @torch.inference_mode()
    def figures(self, model: WorldModel) -> dict[str, float]:
        """HRI, the cost's mean error and the decoded state's, now and after T steps.

        Costs are those of all goals, in the data's unit; a rollout is told its episode's own goal.
        """
        whitening = Whitening.fit(_latents(model, self.training).numpy())
        flat = _latents(model, self.heldout)
        shortest = int(self.heldout.lengths.min())
        index = self.heldout.starts[:, None] + torch.arange(shortest)
        starts = spread_starts(shortest, self.steps, STARTS)
        codes = goal_codes(model.size.goals, model.size.conditioning)
        true = torch.from_numpy(windows(flat[index].numpy(), starts + 1, self.steps))
        actions = torch.from_numpy(windows(self.heldout.action[index].numpy(), starts, self.steps))
        count = len(starts)
        predicted = model.rollout(
            flat[index][:, starts].flatten(0, 1),
            actions.flatten(0, 1),
            codes[self.goals].repeat_interleave(count, dim=0),
        ).unflatten(0, (-1, count))
        cost = torch.from_numpy(windows(self.heldout.cost[index].numpy(), starts + 1, self.steps))
        state = windows(self.heldout.state[index].numpy(), starts + 1, self.steps)
        similar = similarity(whitening, predicted.numpy(), true.numpy())
        last = f"at_{self.steps}"
        read = probe_errors(model.probe(true).numpy(), state, self.groups)
        told = probe_errors(model.probe(predicted).numpy(), state, self.groups)
        return {
            f"hri_{last}": float(similar[:, -1].mean()),
            "effective_rank": whitening.effective_rank,
            "cost_error": self._cost_error(model, true, cost, codes),
            f"cost_error_{last}": self._cost_error(
                model, predicted[:, :, -1:], cost[:, :, -1:], codes
            ),
            **{f"encoded_{name}": float(curve.mean()) for name, curve in read.items()},
            **{f"predicted_{name}_{last}": float(curve[-1]) for name, curve in told.items()},
        }

    def _cost_error(self, model: WorldModel, z: Tensor, cost: Tensor, codes: Tensor) -> float:
        """Mean error of all goals' costs, in the data's unit; z (..., Z), cost (..., G)."""
        found = model.cost(z.unsqueeze(-2), codes)
        return float((found - cost).abs().mean()) * self.unit


def _latents(model: WorldModel, data: Experience) -> Tensor:
    features = encode_frames(model.vision, data.frames)
    return model.fusion(all_with_history(data, features, model.size.frames), data.proprio)
