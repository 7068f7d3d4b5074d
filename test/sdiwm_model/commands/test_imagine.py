import numpy as np
import pytest

pytest.importorskip("mujoco")
from sdiwm_model import cli
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.evaluation.horizon import Whitening
from sdiwm_model.evaluation.imagined_film import (
    HOLD,
    Clip,
    draw_clip,
    latents_and_pictures,
    make_clips,
)
from sdiwm_model.runtime.load import load_runtime

STEPS = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagine") / "episodes"
    arguments = ["--episodes", "3", "--steps", "12", "--seed", "5", "--out", str(folder)]
    assert cli.main(["collect", *arguments]) == 0
    return folder


class Painter:
    """Draws every latent as its first number."""

    def draw(self, latents):
        shade = ((latents[:, 0] + 1) * 127).astype(np.uint8)
        return np.broadcast_to(shade[:, None, None, None], (len(shade), 64, 64, 3))


def test_a_film_is_made_and_its_decoder_kept(random_bundle, data, tmp_path, capsys):
    out, decoder = tmp_path / "film.gif", tmp_path / "decoder.safetensors"
    arguments = ["--model", str(random_bundle), "--train-data", str(data), "--data", str(data)]
    arguments += ["--decoder", str(decoder), "--out", str(out), "--horizon", str(STEPS)]
    arguments += ["--episodes", "1"]
    assert cli.main(["imagine", *arguments, "--steps", "3"]) == 0
    assert out.read_bytes().startswith(b"GIF89a")
    kept = decoder.read_bytes()
    assert cli.main(["imagine", *arguments, "--steps", "3"]) == 0
    assert decoder.read_bytes() == kept
    assert capsys.readouterr().out.count("decoder: ") == 1


def test_a_film_of_another_kind_is_refused_before_the_work(random_bundle, capsys):
    assert cli.main(["imagine", "--model", str(random_bundle), "--out", "film.avi"]) == 2
    assert ".mp4 or .gif" in capsys.readouterr().err


def test_clips_are_the_first_episodes_and_imagined_from_their_first_latent(random_bundle, data):
    runtime, reader = load_runtime(random_bundle, "onnx"), ShardReader(data)
    latents, pictures = latents_and_pictures(runtime, reader.episodes())
    assert len(latents) == len(pictures) == 18
    clips = make_clips(runtime, Painter(), Whitening.fit(latents), reader, 1, STEPS)
    (clip,) = clips
    episode = reader.read(0)
    assert np.array_equal(clip.real, episode.frames[: STEPS + 1])
    assert np.array_equal(clip.imagined[0], clip.read[0])
    assert not np.array_equal(clip.imagined, clip.read)
    assert clip.similarity[0] == pytest.approx(1)
    assert clip.similarity[1:].max() < 1
    assert episode.behaviour.split("_")[0] in clip.title


def test_every_camera_is_shown():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 64, 64, 6)).astype(np.uint8)
    clip = Clip(pictures, pictures, pictures, np.ones(3), "random motion")
    frames = list(draw_clip(clip, 0.04))
    assert len(frames) == 3 + HOLD
    height, width, _ = frames[0].shape
    assert height % 2 == width % 2 == 0
    two_cameras = frames[1][26 : 26 + 2 * 192 : 3, 8 : 8 + 192 : 3]
    assert np.array_equal(two_cameras[:64], pictures[1, :, :, :3])
    assert np.array_equal(two_cameras[64:], pictures[1, :, :, 3:])
