"""Demonstrations as a world-action model sees them, and the batches drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.language import goal_codes
from sdiwm_model.training.batches import encode_frames
from sdiwm_model.training.checks import open_data
from sdiwm_model.wam.sizes import WamSize
from sdiwm_model.world_model import WorldModel

BEHAVIOUR = "demonstration"
MAKE = f"collect some with `sdiwm collect --mixture {BEHAVIOUR}=1`"
ALL_SEEN = 0.5  # share of the updates whose chunks all look back on a whole window


@dataclass(frozen=True)
class Demonstrations:
    """Encoded episodes end to end, N model steps in all.

    observation (1 to 4, N, O): as the loop sees them; second, where pictures lag, those whose image
    features are one model step older than the joints; then, where asked for, the same at rest.
    features (N, E): of the step's own picture. action (N, A); code (episodes, C): of the goal
    pursued; starts, lengths (episodes,): where each lies in N; first (episodes,): step of each from
    which actions are to be imitated.
    """

    observation: Tensor
    features: Tensor
    action: Tensor
    code: Tensor
    starts: Tensor
    lengths: Tensor
    first: Tensor


@dataclass(frozen=True)
class Chunks:
    """A batch of S sequences with a chunk at each of their last steps, B chunks in all.

    seen (S, T, O): observations; ends (B / S,): steps of each sequence that chunks begin at;
    code (B, C), action (B, H, A), future (B, F, E): of each chunk, sequence after sequence.
    """

    seen: Tensor
    ends: Tensor
    code: Tensor
    action: Tensor
    future: Tensor


def load_demonstrations(
    folders: Sequence[Path], model: WorldModel, speeds: Sequence[int] = ()
) -> Demonstrations:
    """Encode every demonstration of ``folders`` with ``model``; other behaviours are left out.

    Args:
        speeds: [first, last + 1] of the numbers of proprio that are speeds. Every observation is
            then there a second time, as of a robot at rest: where only what has arrived is seen at
            rest, a policy learns that at rest there is nothing to do. Empty for none.

    Raises:
        SdiwmError: ``speeds`` are not in proprio; a folder is missing, damaged or of other shapes;
            its goals are no sentences; it holds no demonstration, or does not say from which step
            on its actions are to be imitated.
    """
    reader = open_data(folders)
    first = _first_step(reader, folders[0])
    size = model.size
    codes = goal_codes(size.goals, size.conditioning)
    _check_speeds(speeds, size.proprio)
    total = int(sum(reader.lengths))
    widths = (size.features, size.proprio, size.action)
    # In one piece each: small tensors that stay, between pictures that go, fragment the heap.
    features, proprio, action = (torch.empty(total, width) for width in widths)
    lengths, code, end = [], [], 0
    for episode in reader.episodes():
        if episode.behaviour != BEHAVIOUR:
            continue
        here, end = slice(end, end + len(episode)), end + len(episode)
        features[here] = encode_frames(model.vision, torch.from_numpy(episode.frames))
        proprio[here] = torch.from_numpy(episode.proprio)
        action[here] = torch.from_numpy(episode.action)
        lengths.append(len(episode))
        code.append(codes[episode.goal])
    if not lengths:
        raise SdiwmError(f"{folders[0]} holds no demonstration: {MAKE}")
    features, proprio, action = features[:end], proprio[:end], action[:end]
    steps = torch.tensor(lengths)
    starts = torch.cumsum(steps, 0) - steps
    before = torch.arange(end) - 1
    before[starts] = starts
    pictures = [features, features[before]] if reader.task["camera_lags"] else [features]
    joints = [proprio]
    if speeds:
        joints.append(proprio.clone())
        joints[-1][:, slice(*speeds)] = 0.0
    return Demonstrations(
        observation=torch.stack(
            [observations(model, seen, felt) for felt in joints for seen in pictures]
        ),
        features=features,
        action=action,
        code=torch.stack(code),
        starts=starts,
        lengths=steps,
        first=torch.full_like(steps, first),
    )


def _check_speeds(speeds: Sequence[int], proprio: int) -> None:
    if speeds and not (len(speeds) == 2 and 0 <= speeds[0] < speeds[1] <= proprio):
        raise SdiwmError(
            f"setting 'speeds' is {list(speeds)}: use [first, last + 1] of the {proprio} numbers "
            "of proprio, or [] for none"
        )


def _first_step(reader: ShardReader, folder: Path) -> int:
    if reader.task.get("goal_modality") == "image":
        raise SdiwmError(
            f"{folder} holds goals shown in pictures: a world-action model takes words"
        )
    first = reader.task.get("imitate_from")
    if first is None:
        raise SdiwmError(
            f"{folder} does not say from which step on its actions are to be imitated: {MAKE}"
        )
    return int(first)


@torch.no_grad()
def observations(model: WorldModel, features: Tensor, proprio: Tensor) -> Tensor:
    """o = [z | image features | normalised proprio]: features (N, E), proprio (N, P) -> (N, O)."""
    fusion = model.fusion
    return torch.cat([fusion(features, proprio), features, fusion.normalise(proprio)], dim=-1)


def draw_chunks(
    data: Demonstrations, size: WamSize, sequences: int, chunks: int, generator: torch.Generator
) -> Chunks:
    """``sequences`` stretches of an episode with ``chunks`` chunks at successive steps of each.

    In half of the updates all of them look back on a whole window; in the others the first ones on
    less, as at the beginning of an episode. In half of the sequences pictures lag, where they do.

    Raises:
        SdiwmError: an episode is too short for that.
    """
    window, horizon = size.window, size.chunk
    back = window - 1
    if torch.rand((), generator=generator) >= ALL_SEEN:
        back = int(torch.randint(window, (), generator=generator))
    episode = torch.randint(len(data.lengths), (sequences,), generator=generator)
    first, last = data.first[episode], data.lengths[episode] - horizon - chunks
    if bool((last < first).any()):
        raise SdiwmError(
            f"a demonstration has {int(data.lengths.min())} steps, of which {int(data.first[0])} "
            f"lead in: too few for 'chunks' = {chunks} of {horizon} steps; collect longer ones"
        )
    share = torch.rand(sequences, generator=generator)
    begin = data.starts[episode] + first + (share * (last - first + 1)).long()
    at = begin[:, None] + torch.arange(chunks)
    seen = begin[:, None] + torch.arange(-back, chunks)
    kind = torch.randint(len(data.observation), (sequences, 1), generator=generator)
    later = size.stride * torch.arange(1, size.frames + 1)
    return Chunks(
        seen=data.observation[kind, seen.maximum(data.starts[episode, None])],
        ends=torch.arange(back, back + chunks),
        code=data.code[episode].repeat_interleave(chunks, dim=0),
        action=data.action[at.flatten()[:, None] + torch.arange(horizon)],
        future=data.features[at.flatten()[:, None] + later],
    )
