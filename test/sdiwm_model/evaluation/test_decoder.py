import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.decoder import load_decoder, save_decoder, train_decoder

SIZE = 32


@pytest.fixture(scope="module")
def squares():
    """Latents that say where a white square of 8 pixels is, and its pictures."""
    rng = np.random.default_rng(0)
    latents = rng.uniform(-1, 1, (400, 2)).astype(np.float32)
    pictures = np.zeros((400, SIZE, SIZE, 3), np.uint8)
    for picture, (x, y) in zip(pictures, (latents + 1) * 12, strict=True):
        picture[int(y) : int(y) + 8, int(x) : int(x) + 8] = 255
    return latents, pictures


@pytest.fixture(scope="module")
def decoder(squares):
    return train_decoder(*squares, steps=150, seed=0)


def test_it_draws_things_where_the_latent_says(decoder):
    drawn = decoder.draw(np.float32([[-0.9, -0.9], [0.9, 0.9]]))
    assert drawn.shape == (2, SIZE, SIZE, 3)
    assert drawn.dtype == np.uint8
    half = SIZE // 2
    assert drawn[0, :half, :half].sum() > 10 * drawn[0, half:, half:].sum()
    assert drawn[1, half:, half:].sum() > 10 * drawn[1, :half, :half].sum()


def test_the_same_seed_gives_the_same_decoder(squares):
    first, second = (train_decoder(*squares, steps=2, seed=3) for _ in range(2))
    z = squares[0][:4]
    assert np.array_equal(first.draw(z), second.draw(z))


def test_it_is_read_back_as_it_was_written(decoder, squares, tmp_path):
    path = tmp_path / "new" / "decoder.safetensors"
    save_decoder(path, decoder, "0123456789abcdef")
    again = load_decoder(path, "0123456789abcdef")
    assert np.array_equal(again.draw(squares[0]), decoder.draw(squares[0]))
    with pytest.raises(SdiwmError, match="decodes model 0123456789abcdef, this is ffff"):
        load_decoder(path, "ffff")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SdiwmError, match="no readable decoder"):
        load_decoder(path, "0123456789abcdef")


def test_a_picture_that_no_layers_give_is_refused(squares):
    with pytest.raises(SdiwmError, match="30 pixels cannot be decoded"):
        train_decoder(squares[0], squares[1][:, :30, :30], 1, 0)
