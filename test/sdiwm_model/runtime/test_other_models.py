"""Models with a prior, an ensemble, several cameras and frames, or a goal told by a picture."""

from types import SimpleNamespace

import numpy as np
import pytest

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.protocols import HOST_BACKENDS


@pytest.fixture(scope="module")
def seeing(seeing_bundle):
    return {name: load_runtime(seeing_bundle, name) for name in HOST_BACKENDS}


@pytest.fixture(scope="module")
def told_by_picture(picture_bundle):
    return {name: load_runtime(picture_bundle, name) for name in HOST_BACKENDS}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        two_cameras=rng.integers(0, 256, (64, 64, 6), dtype=np.uint8),
        picture=rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        nothing=np.zeros(0, np.float32),
        z=rng.uniform(-1, 1, 32).astype(np.float32),
        c=rng.uniform(-1, 1, 16).astype(np.float32),
        actions=rng.uniform(-1, 1, (40, 8, 9)).astype(np.float32),
    )


def test_two_cameras_and_two_frames_become_one_latent(seeing, inputs):
    latents = []
    for runtime in seeing.values():
        features = runtime.encode_image(inputs.two_cameras)
        assert features.shape == (32,)
        with pytest.raises(SdiwmError, match=r"\(64, 64, 6\): resize"):
            runtime.encode_image(inputs.picture)
        with pytest.raises(SdiwmError, match=r"features has shape \(32,\).*\(64\)"):
            runtime.fuse(features, inputs.nothing)
        latents.append(runtime.fuse(np.concatenate([features, -features]), inputs.nothing))
    assert np.allclose(latents[0], latents[1], atol=1e-5)
    assert np.abs(latents[0] - latents[2]).max() < 0.03


def test_the_prior_is_the_same_on_every_back_end(seeing, inputs):
    torch, onnx, native = (r.dynamics.prior(inputs.z, inputs.c) for r in seeing.values())
    assert torch.shape == (6, 9)
    assert np.allclose(torch, onnx, atol=1e-5)
    assert np.abs(torch - native).max() < 0.05
    assert torch.std() > 0.05


@pytest.mark.parametrize("backend", HOST_BACKENDS)
def test_a_cold_plan_of_two_candidates_lies_between_the_prior_and_rest(seeing, inputs, backend):
    """Candidates are then the mean, which is the prior's sequence, and standing still."""
    runtime = seeing[backend]
    prior = runtime.dynamics.prior(inputs.z, inputs.c)
    plan = runtime.make_planner(PlannerSettings(2, 8), 0).plan(inputs.z, inputs.c, None)
    assert plan.actions.shape == (8, 9)
    share = (plan.actions[:6] * prior).sum() / np.square(prior).sum()
    assert 0.0 < share <= 1.01
    assert np.allclose(plan.actions[:6], share * prior, atol=0.02)
    assert np.allclose(plan.actions[6:], plan.actions[5], atol=1e-3)


def test_a_prior_can_be_left_out(seeing, inputs):
    for runtime in seeing.values():
        still = PlannerSettings(2, 4, use_prior=False)
        plan = runtime.make_planner(still, 0).plan(inputs.z, inputs.c, None)
        assert not plan.actions.any()


def test_onnx_and_torch_agree_on_how_much_an_ensemble_disagrees(seeing, inputs):
    z, c = inputs.z, inputs.c
    found = [
        seeing[name].dynamics.rollout_cost(z, inputs.actions, c, 0.5, 2.0)
        for name in ("torch", "onnx")
    ]
    assert np.allclose(*found, atol=1e-4)
    plain = seeing["torch"].dynamics.rollout_cost(z, inputs.actions, c, 0.5)
    model = seeing["torch"].model
    latents = np.stack([seeing["torch"].rollout(z, a, c) for a in inputs.actions])
    import torch

    with torch.no_grad():
        costs = model.cost.all(torch.tensor(latents), torch.tensor(c)).numpy()
    expected = plain + 2.0 * costs.std(axis=-1).sum(axis=1)
    assert (expected - plain).min() > 0.01
    assert np.allclose(found[0], expected, atol=1e-4)


def test_the_engine_holds_the_mean_of_an_ensemble_and_refuses_its_disagreement(seeing, inputs):
    torch, native = (seeing[name].dynamics for name in ("torch", "native"))
    z = np.tile(inputs.z, (5, 1)) * np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    assert np.abs(torch.cost(z, inputs.c) - native.cost(z, inputs.c)).max() < 0.03
    unsure = PlannerSettings(disagreement=0.5)
    with pytest.raises(SdiwmError, match="planner.disagreement is 0.5"):
        seeing["native"].make_planner(unsure, 0)
    assert isinstance(seeing["onnx"].make_planner(unsure, 0), Mppi)


def test_the_disagreement_of_one_head_is_refused(told_by_picture):
    for runtime in told_by_picture.values():
        with pytest.raises(SdiwmError, match="planner.disagreement is 0.5"):
            runtime.make_planner(PlannerSettings(disagreement=0.5), 0)


def test_a_picture_becomes_the_same_c_on_every_back_end(told_by_picture, inputs):
    found = [r.condition_image(inputs.picture) for r in told_by_picture.values()]
    assert found[0].shape == (16,)
    assert found[0].dtype == np.float32
    assert np.allclose(found[0], found[1], atol=1e-5)
    assert np.array_equal(found[1], found[2])
    for runtime, c in zip(told_by_picture.values(), found, strict=True):
        assert runtime.dynamics.prior(inputs.z, c) is None
        plan = runtime.make_planner(PlannerSettings(16, 4), 0).plan(inputs.z, c, None)
        assert plan.actions.shape == (4, 1)


@pytest.mark.parametrize("backend", HOST_BACKENDS)
def test_words_and_pictures_are_not_taken_for_each_other(told_by_picture, seeing, inputs, backend):
    with pytest.raises(SdiwmError, match="told its goal by a picture.*condition_image"):
        told_by_picture[backend].condition("upright")
    with pytest.raises(SdiwmError, match="told its goal in words.*`condition`"):
        seeing[backend].condition_image(inputs.two_cameras)


def test_a_model_of_one_goal_names_it(seeing):
    with pytest.raises(InstructionError, match=r"empty: ask for upright\."):
        seeing["torch"].condition(" ")
