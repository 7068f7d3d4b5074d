"""The reference engine: what it refuses, and what stays the same from chunk to chunk."""

import numpy as np
import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.noise import video_noise
from sdiwm_model.wam.protocols import StepPair, WamEngine
from sdiwm_model.wam.sizes import WAM_SIZES
from sdiwm_model.wam.torch_engine import TorchWamEngine

SIZE = WAM_SIZES["miniature"]
STEPS = StepPair(1, 2)
RNG = np.random.default_rng(0)
C = RNG.standard_normal(SIZE.conditioning).astype(np.float32)
NOISE = RNG.standard_normal((3, SIZE.chunk, SIZE.action)).astype(np.float32)
EPISODE = RNG.standard_normal((6, SIZE.observation)).astype(np.float32)


def lively():
    torch.manual_seed(0)
    model = WorldActionModel(SIZE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


MODEL = lively()


@pytest.fixture
def engine():
    engine = TorchWamEngine(MODEL)
    for o in EPISODE:
        engine.observe(o)
    return engine


def test_it_is_an_engine(engine):
    assert isinstance(engine, WamEngine)


def test_chunks_are_those_computed_one_by_one(engine):
    together = engine.chunks(C, NOISE, STEPS)
    assert together.shape == NOISE.shape and np.abs(together).max() <= 1.0
    for noise, chunk in zip(NOISE, together, strict=True):
        np.testing.assert_allclose(engine.chunk(C, noise, STEPS), chunk, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_an_episode_that_is_forgotten_leaves_nothing(engine):
    fresh = TorchWamEngine(MODEL)
    engine.begin()
    for each in (engine, fresh):
        each.observe(EPISODE[2])
    np.testing.assert_array_equal(*(e.chunk(C, NOISE[0], STEPS) for e in (engine, fresh)))


def test_memory_does_not_grow(engine):
    assert engine._memory.seen.shape[1] == SIZE.window


def test_a_prefix_is_carried_out_and_moves_the_rest(engine):
    prefix = np.full((2, SIZE.action), 0.25, np.float32)
    free, bound = engine.chunk(C, NOISE[0], STEPS), engine.chunk(C, NOISE[0], STEPS, prefix)
    np.testing.assert_array_equal(bound[:2], prefix)
    assert np.abs(bound[2:] - free[2:]).max() > 1e-4
    np.testing.assert_array_equal(engine.chunk(C, NOISE[0], STEPS, prefix[:0]), free)


@pytest.mark.parametrize("steps", [STEPS, StepPair(2, 1, "inverse"), StepPair(0, 1, "prefill")])
def test_it_imagines_features_of_future_moments(engine, steps):
    imagined = engine.imagine(C, NOISE[0], steps)
    assert imagined.shape == (SIZE.frames, SIZE.features) and np.isfinite(imagined).all()


@pytest.mark.parametrize("drop", ["random", "ranked"])
def test_half_of_the_future_is_dropped_and_the_chunk_is_another(engine, drop):
    sparse = TorchWamEngine(MODEL, token_drop=drop)
    for o in EPISODE:
        sparse.observe(o)
    now = EPISODE[-1][SIZE.latent :][: SIZE.features]
    imagined = sparse.imagine(C, NOISE[0], STEPS).reshape(SIZE.video_tokens, -1)
    still = (imagined == np.tile(now, SIZE.frames).reshape(SIZE.video_tokens, -1)).all(axis=1)
    assert still.sum() == SIZE.video_tokens // 2
    assert np.abs(sparse.chunk(C, NOISE[0], STEPS) - engine.chunk(C, NOISE[0], STEPS)).max() > 1e-4


def test_random_tokens_are_the_same_ones_in_the_same_episode():
    chunks = []
    engine = TorchWamEngine(MODEL, token_drop="random")
    for _ in range(2):
        engine.begin()
        engine.observe(EPISODE[0])
        chunks.append([engine.chunk(C, NOISE[0], STEPS) for _ in range(2)])
    np.testing.assert_array_equal(*chunks)
    assert np.abs(chunks[0][0] - chunks[0][1]).max() > 1e-4


def test_noise_of_the_future_is_one_draw():
    np.testing.assert_array_equal(video_noise(SIZE), video_noise(SIZE))
    assert video_noise(SIZE).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda e: e.observe(EPISODE[0, 1:]), "o has shape"),
        (lambda e: e.chunk(C[1:], NOISE[0], STEPS), "c has shape"),
        (lambda e: e.chunk(C, NOISE[0, 1:], STEPS), "noise has shape"),
        (lambda e: e.chunk(C, NOISE[0], STEPS, NOISE[0, :, 1:]), "prefix has shape"),
        (lambda e: e.chunk(C, NOISE[0], STEPS, np.zeros((9, 4), np.float32)), "holds 9 actions"),
        (lambda e: e.chunk(C, NOISE[0] * np.nan, STEPS), "NaN"),
        (lambda e: e.imagine(C, NOISE[0], StepPair(0, 1, "policy")), "imagines nothing"),
        (lambda e: (e.begin(), e.chunk(C, NOISE[0], STEPS)), "call observe first"),
    ],
)
def test_bad_input_is_refused(engine, call, told):
    with pytest.raises(SdiwmError, match=told):
        call(engine)
