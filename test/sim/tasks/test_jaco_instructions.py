import re

from sdiwm_sim.tasks.jaco_instructions import (
    HELDOUT_ACTIONS,
    HELDOUT_BALLS,
    heldout_instructions,
    heldout_unrelated_instructions,
    train_instructions,
    unrelated_instructions,
)

KINDS = (
    train_instructions,
    heldout_instructions,
    unrelated_instructions,
    heldout_unrelated_instructions,
)


def test_sentences_are_many_different_and_always_the_same():
    for kind, least in zip(KINDS, (300, 40, 200, 30), strict=True):
        sentences = kind()
        assert len(set(sentences)) == len(sentences) >= least
        assert kind() == sentences


def test_the_plainest_sentence_comes_first():
    assert train_instructions()[0] == "move the hand to the red ball"


def test_no_sentence_has_two_labels_or_is_trained_on_and_tested_by():
    seen: set[str] = set()
    for kind in KINDS:
        assert not seen & set(kind())
        seen |= set(kind())


def test_held_out_nouns_and_verbs_never_occur_in_training():
    words = set(re.findall(r"[a-z]+", " ".join(train_instructions())))
    assert not words & {ball.split()[-1] for ball in HELDOUT_BALLS} - {"ball", "sphere"}
    assert not words & {action.split()[0] for action in HELDOUT_ACTIONS}


def test_other_colours_and_prohibitions_are_unrelated():
    sentences = unrelated_instructions()
    assert "the blue ball" in sentences
    assert "do not touch the red ball" in sentences
    assert "move the hand to the green ball" in sentences
