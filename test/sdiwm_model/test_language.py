import numpy as np
import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.language import (
    LanguageFusion,
    goal_codes,
    grounding_rates,
    language_loss,
    pad_tokens,
    train_language,
)
from sdiwm_model.sizes import find_size
from sdiwm_model.text_encoder import TextEncoder
from sdiwm_sim.tasks.instructions import (
    GOALS,
    heldout_instructions,
    heldout_unrelated_instructions,
    train_instructions,
    unrelated_instructions,
)

SIZE = find_size("reach_student")


class MemorisingEncoder:
    def __init__(self):
        self.encoder = TextEncoder()
        self.width = self.encoder.width
        self.known = {}

    def encode_many(self, texts):
        fresh = [text for text in texts if text not in self.known]
        self.known.update(zip(fresh, self.encoder.encode_many(fresh), strict=True))
        return [self.known[text] for text in texts]


def labelled(sentences_of):
    pairs = [(text, goal) for goal in range(len(GOALS)) for text in sentences_of(goal)]
    return [text for text, _ in pairs], [goal for _, goal in pairs]


@pytest.fixture(scope="module")
def encoder():
    return MemorisingEncoder()


@pytest.fixture(scope="module")
def trained(encoder):
    texts, labels = labelled(lambda goal: train_instructions(goal, count=600))
    unrelated = unrelated_instructions()[::2]
    return train_language(SIZE, texts, labels, unrelated, encoder, seed=0, steps=800)


def test_half_the_training_set_is_enough_to_understand_paraphrases_and_refuse(trained, encoder):
    texts, labels = labelled(heldout_instructions)
    rates = grounding_rates(trained, encoder, texts, labels, heldout_unrelated_instructions())
    assert rates["accuracy"] >= 0.93
    assert rates["false_refusals"] <= 0.05
    assert rates["refused"] >= 0.88


@pytest.mark.parametrize(
    ("sentence", "goal"),
    [
        ("touch the red target", 0),
        ("not the red one, the blue one", 2),
        ("ignore the blue one, touch the red target", 0),
        ("Please Touch The GREEN Target", 1),
        ("the golden disc", 3),
        ("touch the purple target", 4),
        ("touch the target", 4),
        ("open the door", 4),
        ("do not touch the red target", 4),
    ],
)
def test_plain_commands_are_understood(trained, encoder, sentence, goal):
    _, logits = trained(*pad_tokens(encoder.encode_many([sentence])))
    assert logits.argmax().item() == goal


def test_paraphrases_of_one_goal_gather_around_its_code(trained, encoder):
    texts, labels = labelled(lambda goal: train_instructions(goal)[:100])
    with torch.inference_mode():
        c, _ = trained(*pad_tokens(encoder.encode_many(texts)))
    codes = goal_codes(SIZE.goals, SIZE.conditioning)
    distances = torch.cdist(c, codes)
    within = distances[torch.arange(len(labels)), torch.tensor(labels)]
    assert within.median() < 0.3
    assert torch.cdist(codes, codes)[0, 1] > 4.0
    assert (distances.argmin(dim=1) == torch.tensor(labels)).float().mean() > 0.97


def test_the_same_seed_trains_the_same_weights_and_leaves_the_global_generator_alone():
    class Numbers:
        width = 8

        def encode_many(self, texts):
            ramp = np.arange(8, dtype=np.float32)
            return [np.tile(ramp ** len(text), (3, 1)) for text in texts]

    def train(seed):
        model = train_language(SIZE, ["a", "bb"], [0, 1], ["ccc"], Numbers(), seed, steps=3)
        return torch.cat([p.flatten() for p in model.parameters()])

    before = torch.get_rng_state()
    assert torch.equal(train(5), train(5))
    assert not torch.equal(train(5), train(6))
    assert torch.equal(torch.get_rng_state(), before)


def test_padding_does_not_change_c():
    torch.manual_seed(0)
    model = LanguageFusion(SIZE, text_width=8).eval()
    tokens = torch.randn(1, 5, 8)
    padded = torch.cat([tokens, torch.randn(1, 4, 8)], dim=1)
    c, logits = model(tokens, torch.ones(1, 5, dtype=torch.bool))
    mask = torch.arange(9).unsqueeze(0) < 5
    c_padded, logits_padded = model(padded, mask)
    assert torch.allclose(c, c_padded, atol=1e-6)
    assert torch.allclose(logits, logits_padded, atol=1e-6)
    assert c.shape == (1, 16)
    assert c.abs().max() <= 1.0


def test_codes_are_orthogonal_and_too_many_goals_are_refused():
    codes = goal_codes(4, 16)
    assert torch.allclose(codes @ codes.T, torch.eye(4) * codes[0].square().sum(), atol=1e-5)
    with pytest.raises(SdiwmError, match="16 goals"):
        goal_codes(16, 16)
    with pytest.raises(SdiwmError, match="power of two"):
        goal_codes(2, 12)


def test_the_loss_of_a_batch_without_named_goals_is_finite():
    codes = goal_codes(4, 16)
    loss = language_loss(torch.zeros(2, 16), torch.zeros(2, 5), torch.tensor([4, 4]), codes)
    assert torch.isfinite(loss)
