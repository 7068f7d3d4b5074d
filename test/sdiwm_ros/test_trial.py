"""What a bench says to the arm while it moves; the trials themselves run in test_graph.py."""

import pytest

from sdiwm_ros.trial import plain_sentences
from sdiwm_sim.task import make_task


@pytest.mark.parametrize("task", ["reach", "push"])
def test_each_plain_sentence_is_the_tasks_own_and_names_one_goal(task):
    sentences = plain_sentences(task)
    assert tuple(sentences) == make_task(task).goals
    for goal, sentence in sentences.items():
        assert sentence in make_task(task).train_instructions(list(sentences).index(goal))
        assert [other for other in sentences if other in sentence] == [goal]
