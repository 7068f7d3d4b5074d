"""A goal is named by one whole colour word."""

import pytest

from sdiwm_model.goal_names import named_goal

GOALS = ("red", "green", "blue", "yellow")


@pytest.mark.parametrize(
    ("sentence", "goal"),
    [
        ("Touch the BLUE one!", 2),
        ("blue!", 2),
        ("not red but green", None),
        ("the scored one", None),
        ("go", None),
    ],
)
def test_a_goal_is_named_by_a_whole_word_and_only_one(sentence, goal):
    assert named_goal(sentence, GOALS) == goal
