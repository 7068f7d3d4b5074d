import pytest

from sdiwm_sim.tasks.instructions import (
    COLOUR_WORDS,
    GOALS,
    HELDOUT_ACTIONS,
    HELDOUT_NOUNS,
    heldout_instructions,
    heldout_unrelated_instructions,
    train_instructions,
    unrelated_instructions,
)

EVERY_GOAL = pytest.mark.parametrize("goal", range(len(GOALS)))


@EVERY_GOAL
def test_sentences_are_many_different_and_always_the_same(goal):
    train, heldout = train_instructions(goal), heldout_instructions(goal)
    assert len(set(train)) == len(train) >= 300
    assert len(set(heldout)) == len(heldout) >= 40
    assert train == train_instructions(goal)
    assert heldout == heldout_instructions(goal)
    assert train[0] == f"touch the {GOALS[goal]} target"


@EVERY_GOAL
def test_every_sentence_names_its_colour(goal):
    for sentence in train_instructions(goal) + heldout_instructions(goal):
        assert any(word in sentence for word in COLOUR_WORDS[GOALS[goal]]), sentence


def test_no_test_sentence_is_trained_on():
    train = {s for goal in range(len(GOALS)) for s in train_instructions(goal)}
    train |= set(unrelated_instructions())
    tested = {s for goal in range(len(GOALS)) for s in heldout_instructions(goal)}
    tested |= set(heldout_unrelated_instructions())
    assert not train & tested


@EVERY_GOAL
def test_held_out_verbs_and_nouns_never_occur_in_training(goal):
    words = set(" ".join(train_instructions(goal)).replace(",", " ").split())
    assert not words & set(HELDOUT_NOUNS)
    assert not words & {action.split()[0] for action in HELDOUT_ACTIONS} - {
        "come", "make", "head", "lay", "land", "position", "guide", "steer", "aim",
    }  # fmt: skip


def test_no_sentence_has_two_labels():
    seen = set(unrelated_instructions()) | set(heldout_unrelated_instructions())
    for goal in range(len(GOALS)):
        sentences = set(train_instructions(goal)) | set(heldout_instructions(goal))
        assert not seen & sentences
        seen |= sentences


def test_unrelated_sentences_are_many_and_hold_colours_that_are_not_on_the_table():
    assert len(unrelated_instructions()) >= 200
    assert len(heldout_unrelated_instructions()) >= 100
    assert "touch the purple target" in unrelated_instructions()
    assert "open the door" in unrelated_instructions()
