"""A small world whose dynamics is known, seen by models that know it and by ones that do not."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sdiwm_model.evaluation.assessment import assess, ceiling
from sdiwm_model.evaluation.imagination import Encoded, joined
from sdiwm_model.evaluation.study import Study

Z, A, EPISODES, LENGTH, STEPS = 6, 2, 14, 40, 12
RNG = np.random.default_rng(0)
SKEW = np.triu(RNG.normal(size=(Z, Z)), 1)
TURN = np.eye(Z) + 0.08 * (SKEW - SKEW.T)
PUSH = 0.3 * RNG.normal(size=(A, Z))


def step(z, action):
    return np.tanh(z @ TURN + action @ PUSH).astype(np.float32)


def episodes(seed, frames=1):
    """Latents are the state; features are what `World.fuse` makes them of."""
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (EPISODES, LENGTH, A)).astype(np.float32)
    path = [rng.uniform(-0.9, 0.9, (EPISODES, Z)).astype(np.float32)]
    for t in range(LENGTH - 1):
        path.append(step(path[-1], actions[:, t]))
    latents = np.stack(path, axis=1)
    pictures = rng.integers(0, 256, (EPISODES, 4, 4, 6)).astype(np.uint8)
    goals = np.zeros(EPISODES, int)
    proprio = np.zeros((EPISODES, LENGTH, 0), np.float32)
    return Encoded(latents, latents, proprio, actions, latents, goals, pictures, frames)


class World:
    """A model of no proprioception and one goal; ``knows`` the dynamics, or thinks all stands."""

    backend = "none"

    def __init__(self, knows, goal_image=False):
        sizes = SimpleNamespace(goal_image=goal_image, frames=1)
        self.manifest = SimpleNamespace(sizes=sizes, model_hash="0" * 16)
        self.knows = knows
        self.shown = []

    def fuse(self, features, proprio):
        assert proprio.shape == (0,)
        return features

    def condition(self, sentence):
        return np.zeros(1, np.float32)

    def condition_image(self, picture):
        self.shown.append(picture)
        return np.zeros(1, np.float32)

    def rollout(self, z, actions, c):
        path = []
        for action in actions:
            z = step(z, action) if self.knows else z
            path.append(z)
        return np.stack(path)

    def probe(self, z):
        return z


@pytest.fixture(scope="module")
def study():
    groups = [
        {"name": "cart", "unit": "m", "first": 0, "count": 1, "width": 2},
        {"name": "wheels", "unit": "rad", "first": 2, "count": 4, "width": 1},
    ]
    task = {
        "state_groups": groups, "position_coordinates": 4, "train_instructions": [["go", "do go"]],
    }  # fmt: skip
    seeds = np.repeat([0, 1], EPISODES // 2)
    return Study(episodes(1), episodes(2), STEPS, [5, 6], seeds, task)


def test_who_knows_the_world_is_right_to_the_end(study):
    block = assess(World(knows=True), study)
    assert np.allclose(block["hri"], 1)
    assert np.allclose(block["hri_ci95"], 1)
    assert block[f"skill_at_{STEPS}"] == pytest.approx(1)
    assert block[f"hri_per_seed_at_{STEPS}"] == pytest.approx([1, 1])
    assert block["valid"]
    assert set(block["probe_error"]) == {"cart_m", "wheels_rad"}
    assert max(map(np.max, block["probe_error"].values())) < 1e-6
    assert block["baselines"]["shuffled_actions"][-1] < 0.9
    assert block["baselines"]["linear_ar"][0] > block["baselines"]["linear_ar"][-1]


def test_who_does_not_has_no_skill_and_errors_that_grow(study):
    block = assess(World(knows=False), study)
    assert block["hri"][-1] < 0.5 < block["hri"][0] < 0.99
    assert block[f"skill_at_{STEPS}"] < 0
    assert np.array_equal(block["hri"], block["baselines"]["persistence"])
    for name, curve in block["probe_error"].items():
        assert block["probe_error_at_0"][name] == pytest.approx(0, abs=1e-6)
        assert curve[-1] > curve[0] > 0
    assert not np.any(block["probe_error_of_encoder"]["cart_m"])


def test_a_goal_picture_is_shown_for_every_episode(study):
    world = World(knows=True, goal_image=True)
    assess(world, study)
    assert len(world.shown) == EPISODES
    assert world.shown[0].shape == (4, 4, 6)


def test_rollouts_begin_where_there_are_pictures_enough(study):
    assert study.starts.min() == 0
    three = replace(study, heldout=replace(study.heldout, frames=3))
    assert three.starts.min() == 2
    assert three.starts.max() + STEPS < LENGTH


def test_the_ceiling_is_below_one_by_what_the_start_is_wrong(study):
    assert np.allclose(ceiling(study, study.heldout), 1)
    wrong = study.heldout.latents + 0.3 * RNG.normal(size=study.heldout.latents.shape)
    curve = ceiling(study, replace(study.heldout, latents=wrong))
    assert curve.shape == (STEPS,)
    assert curve.max() < 0.99


def test_parts_are_joined_in_their_order():
    a, b = episodes(3), episodes(4)
    whole = joined([a, b])
    assert np.array_equal(whole.latents[EPISODES:], b.latents)
    assert len(whole.pictures) == 2 * EPISODES
