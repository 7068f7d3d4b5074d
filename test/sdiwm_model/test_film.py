import numpy as np
import pytest
from PIL import Image

from sdiwm_model.errors import SdiwmError
from sdiwm_model.film import write_film


def moving_dot(count):
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    for index in range(count):
        picture = scene.copy()
        picture[4:8, index : index + 4] = 255
        yield picture


def test_what_stands_still_costs_a_gif_little(tmp_path):
    assert write_film(moving_dot(2), tmp_path / "one.gif", 25) == 1
    assert write_film(moving_dot(40), tmp_path / "many.gif", 25) == 20
    one, many = ((tmp_path / name).stat().st_size for name in ("one.gif", "many.gif"))
    assert many < 3 * one


def test_a_gif_lasts_as_long_as_what_it_shows(tmp_path):
    write_film(moving_dot(40), tmp_path / "film.gif", 20)
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames * gif.info["duration"] == 40 * 50


def test_an_mp4_holds_every_picture(tmp_path):
    assert write_film(moving_dot(10), tmp_path / "film.mp4", 25) == 10
    assert (tmp_path / "film.mp4").stat().st_size > 500


def test_nothing_and_what_is_no_film_are_refused(tmp_path):
    with pytest.raises(SdiwmError, match="nothing to film"):
        write_film(iter(()), tmp_path / "film.gif", 25)
    with pytest.raises(SdiwmError, match=r"\.mp4 or \.gif"):
        write_film(moving_dot(2), tmp_path / "film.webm", 25)
    assert not list(tmp_path.iterdir())
