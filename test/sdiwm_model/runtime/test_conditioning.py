from types import SimpleNamespace

import numpy as np
import pytest

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.runtime.conditioning import Conditioner
from sdiwm_model.sizes import ModelSize
from sdiwm_model.text_encoder import TextEncoder

GOALS = ("red", "green", "blue", "yellow")


@pytest.fixture(scope="module")
def manifest():
    return SimpleNamespace(goals=GOALS, sizes=ModelSize(), text_encoder=TextEncoder().describe())


def answering(goal):
    def fuse(tokens, mask):
        assert tokens.shape[:2] == mask.shape
        return np.full((1, 16), 0.5, np.float32), np.eye(5, dtype=np.float32)[goal : goal + 1]

    return fuse


def test_a_grounded_sentence_becomes_c(manifest):
    c = Conditioner(manifest, answering(2)).condition("touch the blue target")
    assert c.shape == (16,)
    assert c.dtype == np.float32


@pytest.mark.parametrize("said", ["", "   ", "\n\t", None, 7])
def test_an_empty_instruction_is_refused_with_the_known_goals(manifest, said):
    with pytest.raises(InstructionError, match="empty: ask for red, green, blue or yellow"):
        Conditioner(manifest, answering(0)).condition(said)


def test_an_unrelated_instruction_is_repeated_back_with_the_known_goals(manifest):
    with pytest.raises(InstructionError, match='"open the door".*red, green, blue or yellow'):
        Conditioner(manifest, answering(4)).condition("open the door")


def test_another_encoder_than_the_models_own_is_refused(manifest):
    foreign = manifest.text_encoder | {"hash": "0" * 16}
    other = SimpleNamespace(goals=GOALS, sizes=ModelSize(), text_encoder=foreign)
    with pytest.raises(SdiwmError, match="not the text encoder of this model"):
        Conditioner(other, answering(0)).condition("touch the red target")
