"""Distances between sets of clips have the scale that their noise floor and ladder give them."""

import numpy as np
import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.clip_features import (
    EncoderFeature,
    I3DFeature,
    RandomFeature,
    pixel_feature,
)
from sdiwm_model.evaluation.frechet import compare, cut_clips, frechet_distance, ladder
from sdiwm_model.pretraining.encoder_file import save_encoder
from sdiwm_model.pretraining.tokens import token_maker
from sdiwm_model.sizes import find_size


def moving_squares(count, seed):
    """Bright squares that move over grey ground, (count, 6, 16, 16, 3)."""
    rng = np.random.default_rng(seed)
    clips = np.full((count, 6, 16, 16, 3), 60, np.uint8)
    for clip in clips:
        top, left = rng.integers(0, 6, 2)
        down, right = rng.integers(0, 2, 2)
        for t, picture in enumerate(clip):
            x, y = top + t * down, left + t * right
            picture[x : x + 4, y : y + 4] = rng.integers(150, 255)
    return clips


def test_the_distance_is_the_formula_s_where_it_can_be_worked_out_by_hand():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((50_000, 3))
    shifted = rng.standard_normal((50_000, 3)) * [1, 2, 3] + [1, 0, 2]
    # |m|^2 = 1 + 4; independent: sum of (s1 - s2)^2 = 0 + 1 + 4
    assert frechet_distance(samples, shifted) == pytest.approx(10.0, rel=0.03)
    assert frechet_distance(samples, samples) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("feature", [pixel_feature, RandomFeature()], ids=["pixels", "random3d"])
def test_what_is_worse_is_farther_and_real_clips_are_at_the_noise_floor(feature):
    real = moving_squares(80, 0)
    grey = np.full_like(real, 60)
    block = compare(feature, real, {"grey": grey, "same": real}, splits=4, seed=0)
    assert block["clips"] == 40
    assert block["same"] == block["noise_floor"]
    assert block["grey"]["mean"] > 2 * block["noise_floor"]["mean"]
    assert block["ordered"]["noise"]
    assert block["ladder"]["slow"][1]["mean"] > 1.2 * block["noise_floor"]["mean"]
    assert block == compare(feature, real, {"grey": grey, "same": real}, splits=4, seed=0)


def test_the_ladder_corrupts_pixels_detail_and_motion_apart():
    real = moving_squares(3, 0)
    rungs = ladder(real, 0)
    for levels in rungs.values():
        assert all(level.shape == real.shape and level.dtype == np.uint8 for level in levels)
    assert np.array_equal(rungs["slow"][0][:, 1], real[:, 0])
    assert (np.diff(rungs["slow"][1], axis=1) == 0).all()
    mean = real.reshape(3, 6, 8, 2, 8, 2, 3).mean(axis=(3, 5))
    assert np.abs(rungs["blur"][0][:, :, ::2, ::2] - mean).max() <= 0.5
    shuffled = rungs["shuffled"][0]
    assert not np.array_equal(shuffled, real)
    assert np.array_equal(np.sort(shuffled, axis=1), np.sort(real, axis=1))


def test_films_of_two_cameras_become_clips_one_below_the_other():
    film = np.random.default_rng(0).integers(0, 255, (7, 8, 8, 6), np.uint8)
    clips = cut_clips(film, 3)
    assert clips.shape == (2, 3, 16, 8, 3)
    assert np.array_equal(clips[1, 2, :8], film[5, :, :, :3])
    assert np.array_equal(clips[1, 2, 8:], film[5, :, :, 3:])


@pytest.mark.parametrize("name", ["miniature", "miniature_teacher"])
def test_a_pre_trained_encoder_is_a_feature(name, tmp_path):
    size = find_size(name)
    encoder = token_maker(size)
    save_encoder(tmp_path, encoder.image.state_dict(), size, {})
    clips = np.random.default_rng(0).integers(0, 255, (3, 4, 64, 64, 3), np.uint8)
    found = EncoderFeature(tmp_path)(clips)
    with torch.no_grad():
        tokens = encoder(torch.from_numpy(clips[0])).mean(dim=1)
    np.testing.assert_allclose(found[0, : tokens.shape[1]], tokens.mean(dim=0), atol=1e-5)
    still = np.repeat(clips[:, :1], 4, axis=1)
    assert np.abs(EncoderFeature(tmp_path)(still)[:, tokens.shape[1] :]).max() == 0


def test_i3d_comes_from_a_file_and_anything_else_is_refused(tmp_path):
    class Mean(torch.nn.Module):
        def forward(
            self,
            x: torch.Tensor,
            rescale: bool = True,
            resize: bool = True,
            return_features: bool = True,
        ) -> torch.Tensor:
            return x.mean(dim=[3, 4]).flatten(1)

    torch.jit.script(Mean()).save(tmp_path / "i3d.pt")
    clips = moving_squares(40, 0)
    found = I3DFeature(tmp_path / "i3d.pt")(clips)
    np.testing.assert_allclose(found[0], clips[0].mean(axis=(1, 2)).T.ravel(), rtol=1e-5)
    (tmp_path / "other.pt").write_bytes(b"no archive")
    with pytest.raises(SdiwmError, match="no TorchScript file"):
        I3DFeature(tmp_path / "other.pt")


def test_too_few_clips_are_refused():
    with pytest.raises(SdiwmError, match="3 clips are too few"):
        compare(pixel_feature, moving_squares(3, 0), {}, splits=2, seed=0)
