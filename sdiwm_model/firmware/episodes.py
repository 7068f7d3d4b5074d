"""Whole recorded episodes, from pictures and joints to plans: reference, this machine and chips."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import Goal
from sdiwm_model.data.episodes import Episode
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.encoder import IntegerSight, proprio_inputs
from sdiwm_model.firmware.boards import BOARDS
from sdiwm_model.firmware.emulator import Emulator
from sdiwm_model.firmware.on_host import HostLine, build_link
from sdiwm_model.firmware.program import Contents, build_firmware
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.link import Line, Link
from sdiwm_model.runtime.mcu_observer import send_picture
from sdiwm_model.runtime.messages import Codec

TIMEOUT_S = 60.0


def compare_episodes(
    contents: Contents, goal: Goal, settings: PlannerSettings, data: Path, count: int, seed: int
) -> dict[str, Any]:
    """Replay the first `count` episodes of a folder on every target, and count the same plans.

    Every plan starts from the last one's sequence. A target's `same` says how many of all plans,
    each with its latent and its cost, equal the reference's bit for bit.
    """
    reader = ShardReader(data)
    episodes = [reader.read(index) for index in range(min(count, len(reader)))]
    expected = [by_reference(contents, goal, settings, each, seed) for each in episodes]
    plans = sum(len(trace) for trace in expected)
    found: dict[str, Any] = {"data": str(data), "episodes": len(episodes), "plans": plans}
    found["same"] = {}
    with TemporaryDirectory(prefix="sdiwm-episodes-") as folder:
        program = build_link(contents, Path(folder))
        lines: dict[str, Callable[[], Line]] = {"host": partial(HostLine, program)}
        for board in (board for board in BOARDS.values() if board.machine):
            image = build_firmware(contents, board)
            lines[board.name] = partial(Emulator, board, image)
        for name, open_line in lines.items():
            traces = [by_link(contents, goal, settings, e, seed, open_line) for e in episodes]
            found["same"][name] = _same(traces, expected)
    return found


def _same(found: Sequence[list[int]], expected: Sequence[list[int]]) -> int:
    pairs = [
        (a, b) for f, e in zip(found, expected, strict=True) for a, b in zip(f, e, strict=True)
    ]
    return sum(a == b for a, b in pairs)


def by_reference(
    contents: Contents, goal: Goal, settings: PlannerSettings, episode: Episode, seed: int
) -> list[int]:
    """The checksum of latent, plan and cost at every step, by the integer reference."""
    sight, model = _sight(contents), IntegerModel(contents.model)
    planner = IntegerMppi(contents.model, settings, seed)
    mean, trace = None, []
    for picture, proprio in zip(episode.frames, episode.proprio, strict=True):
        sight.see(picture)
        z = model.fuse(sight.fusion_inputs(proprio))
        mean, cost, _ = planner.plan(goal, z, mean)
        trace.append(_checksum(z, mean, cost))
    return trace


def by_link(
    contents: Contents,
    goal: Goal,
    settings: PlannerSettings,
    episode: Episode,
    seed: int,
    open_line: Callable[[], Line],
) -> list[int]:
    """The same by the firmware behind a line."""
    codec = Codec(contents.wire_sizes)
    planner = IntegerMppi(contents.model, settings, seed).integers
    mean, trace = np.zeros(codec.sizes.count("moves"), np.int16), []
    moves = settings.horizon * contents.model.action
    link = Link(open_line, codec, contents.hash_bytes, TIMEOUT_S)
    try:
        link.ask("SetSettings", {"word": np.frombuffer(bytes(planner), "<i4")})
        link.ask("SetGoal", {"word": np.frombuffer(goal.to_bytes(), "<u4")})
        for step, (picture, proprio) in enumerate(
            zip(episode.frames, episode.proprio, strict=True)
        ):
            send_picture(link, step, picture)
            link.ask("Encode", {"picture": step, "first": int(step == 0)})
            felt = proprio_inputs(contents.model, proprio)
            z = link.ask("FuseSeen", {"picture": step, "proprio": felt})["latent"]
            request = {"plan": step, "cold": int(step == 0), "latent": z, "mean": mean}
            plan = link.ask("PlanRequest", request)
            mean[:] = plan["mean"]
            trace.append(_checksum(z, mean[:moves], plan["cost"]))
    finally:
        link.close()
    return trace


def _sight(contents: Contents) -> IntegerSight:
    if contents.encoder is None:
        raise SdiwmError(
            "The bundle has no encoder for microcontrollers: add it with `sdiwm export encoder`."
        )
    return IntegerSight(contents.encoder, contents.model)


def _checksum(z: Any, mean: Any, cost: int) -> int:
    parts = (np.asarray(z, "<i2"), np.asarray(mean, "<i2"), np.asarray(cost, "<i4"))
    return zlib.crc32(b"".join(part.tobytes() for part in parts))
