"""Whether engines, on this machine and on chips, return the integer reference's bits."""

from __future__ import annotations

import numpy as np

from sdiwm_model.compression.fixed_point import actions_to_int16, latent_to_q15
from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantised_model import Goal, QuantisedModel, make_goal
from sdiwm_model.firmware.boards import Board
from sdiwm_model.firmware.vectors import VectorChip, expected
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.native import NativeEngine

PLANS = 8  # for each seed


def chip_is_exact(
    board: Board, model: QuantisedModel, goal: Goal, vectors: int, seeds: list[int]
) -> bool:
    """Whether every part, on random latents, and plans of every seed equal the reference."""
    parts = [("rollout", vectors, 1), ("heads", vectors, 1), ("fuse", vectors // 20, 1)]
    if model.prior is not None:
        parts.append(("prior", vectors // 20, 16))
    exact = True
    with VectorChip(board, model) as chip:
        for part, count, horizon in parts:
            reply = chip.run(part, goal, seeds[0], count, horizon)
            exact &= reply.checksum == expected(model, part, goal, seeds[0], count, horizon)
        for seed in seeds:
            planner = IntegerMppi(model, PlannerSettings(16, 12, 2, smoothness=0.1), seed)
            planner.integers.cold = 1
            sent = type(planner.integers).from_buffer_copy(planner.integers)
            reply = chip.run("plan", goal, seed, PLANS, settings=sent)
            exact &= reply.checksum == expected(model, "plan", goal, seed, PLANS, planner=planner)
    return exact


def host_is_exact(model: QuantisedModel, seeds: list[int]) -> bool:
    """Whether the host's engine makes the reference's plans, from random latents."""
    engine = NativeEngine(model)
    exact = True
    for seed in seeds:
        rng = np.random.default_rng(seed)
        settings = PlannerSettings(16, 12)
        reference, native = IntegerMppi(model, settings, seed), engine.make_planner(settings, seed)
        for _ in range(PLANS):
            z = np.tanh(rng.standard_normal(model.latent)).astype(np.float32)
            c = rng.uniform(-1, 1, model.conditioning).astype(np.float32)
            plan = native.plan(z, c)
            mean, _, _ = reference.plan(make_goal(model, c), latent_to_q15(z), None)
            exact &= bool((actions_to_int16(plan.actions) == mean).all())
    return exact
