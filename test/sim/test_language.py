import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("mujoco")
from sdiwm_model import cli
from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_sim import language
from sdiwm_sim.closed_loop import ExpertController
from sdiwm_sim.language import (
    KINDS,
    Pair,
    draw_pairs,
    ground,
    imagined_ends,
    real_ends,
    swap,
    words_in_transition,
)
from sdiwm_sim.task import make_task
from sdiwm_sim.tasks.reach import ReachTask, joints_for

HORIZON = 3


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


class Dreamer:
    """The latent is the state itself, and in one step the arm is at goal number c."""

    def __init__(self, task):
        self.task = task
        self.manifest = SimpleNamespace(
            sizes=SimpleNamespace(image_size=64, frames=2, action=4),
            planner=PlannerSettings(horizon=HORIZON),
        )

    def encode_image(self, image):
        return np.zeros(3, np.float32)

    def fuse(self, features, proprio):
        assert features.shape == (6,)
        return self.task.state()

    def probe(self, z):
        return z

    def make_planner(self, settings, seed):
        plan = SimpleNamespace(actions=np.zeros((settings.horizon, 4), np.float32))
        return SimpleNamespace(plan=lambda z, c, warm_start: plan)

    def rollout(self, z, actions, c):
        path = np.repeat(z[None], len(actions), axis=0)
        pucks = z[7:].reshape(4, 2)
        point = np.append(pucks[int(c[0])], 0.03)
        path[:, 3:7] = joints_for(point, -1.2)
        return path


def test_words_are_exchanged_whole():
    assert swap("red, not green; reddish", "red", "green") == "green, not red; reddish"
    assert swap("blue", "red", "green") == "blue"


@pytest.mark.parametrize("name", ["reach", "push"])
def test_every_kind_has_the_same_starts_and_goals(name):
    task = make_task(name)
    drawn = {kind: draw_pairs(task, [0, 4], 8, kind) for kind in KINDS}
    starts = [(p.layout, p.goals) for p in drawn["plain"]]
    assert len(set(starts)) == 16
    for pairs in drawn.values():
        assert [(p.layout, p.goals) for p in pairs] == starts
        assert all(a != b for a, b in (p.goals for p in pairs))
    for kind in ("heldout", "swapped"):
        for pair in drawn[kind]:
            for goal, sentence in zip(pair.goals, pair.sentences, strict=True):
                assert sentence not in task.train_instructions(goal)
    for pair in drawn["swapped"]:
        a, b = (task.goals[goal] for goal in pair.goals)
        assert pair.sentences[0] != pair.sentences[1]
        assert swap(pair.sentences[1], a, b) == pair.sentences[0]


@pytest.mark.parametrize("name", ["cartpole", "reach_goal_image"])
def test_a_task_without_opposite_sentences_is_refused(name):
    with pytest.raises(SdiwmError, match="no two sentences ask for opposite things"):
        draw_pairs(make_task(name), [0], 1, "plain")


def test_imagined_ends_are_seen_where_the_model_dreams_them(task):
    pair = Pair(10**17, (2, 1), ("", ""))
    told = [np.float32([2]), np.float32([1])]
    ends = imagined_ends(task, Dreamer(task), pair, told, 2)
    task.reset(pair.layout)
    points = task.goal_points()
    assert ends.followed
    assert ends.reached == (True, True)
    assert ends.apart == pytest.approx(np.linalg.norm(points[1] - points[2]), abs=5e-3)


def test_imagined_ends_at_the_wrong_goal_are_counted_as_such(task):
    pair = Pair(10**17, (2, 1), ("", ""))
    ends = imagined_ends(task, Dreamer(task), pair, [np.float32([1]), np.float32([1])], 2)
    assert ends.own == (False, True)
    assert ends.other == (True, False)
    assert not ends.followed
    assert ends.apart == pytest.approx(0, abs=1e-6)


def test_real_ends_are_those_of_the_runs(task):
    pair = Pair(10**17 + 1, (0, 3), ("red", "yellow"))
    ends = real_ends(task, ExpertController(), pair)
    task.reset(pair.layout)
    points = task.goal_points()
    assert ends.followed
    assert ends.apart == pytest.approx(np.linalg.norm(points[0] - points[3]), abs=0.05)


def test_a_refused_sentence_follows_nothing(task):
    class Deaf(ExpertController):
        def begin(self, task, seed):
            if task.goal == 3:
                raise InstructionError("no")

    ends = real_ends(task, Deaf(), Pair(10**17 + 1, (0, 3), ("red", "yellow")))
    assert ends.own == (True, False)
    assert not ends.followed


def test_sentences_are_grounded_in_the_nearest_goal():
    plain = [np.float32([1, 0]), np.float32([0, 1])]
    told = [np.float32([0.9, 0.1]), np.float32([0.6, 0.5]), None, np.float32([0, 2])]
    found = ground(told, [0, 1, 1, 1], plain)
    assert found.accuracy == 0.5
    assert found.refused == 0.25
    assert found.cosine_to_own == pytest.approx((0.9 / 0.82**0.5 + 0.5 / 0.61**0.5 + 1) / 3)
    assert found.cosine_to_others == pytest.approx((0.1 / 0.82**0.5 + 0.6 / 0.61**0.5) / 3)


class Drift:
    """Latents move one a step along the first axis, and ``pull`` times c along the others."""

    def __init__(self, pull):
        self.pull = pull
        self.manifest = SimpleNamespace(sizes=SimpleNamespace(action=4))

    def rollout(self, z, actions, c):
        steps = np.arange(1, len(actions) + 1)[:, None]
        return z + steps * np.concatenate([[1.0], self.pull * c])


@pytest.mark.parametrize(("pull", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_share_of_the_words_in_a_motion(pull, share):
    plain = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    found = words_in_transition(Drift(pull), np.zeros((5, 3)), plain, 7, 0)
    assert found == pytest.approx([share] * 7)


def test_the_report_has_every_key(random_bundle, tmp_path, monkeypatch, capsys):
    few = ReachTask.heldout_instructions
    monkeypatch.setattr(ReachTask, "heldout_instructions", lambda self, goal: few(self, goal)[-9:])
    monkeypatch.setattr(language, "HELDOUT_UNRELATED", {"reach": lambda: ["hello", "sit down"]})
    report = tmp_path / "language.json"
    arguments = ["--model", str(random_bundle), "--episodes", "1", "--seeds", "0"]
    arguments += ["--imagined-steps", "3", "--json", str(report)]
    assert cli.main(["bench", "language", *arguments]) == 0
    block = json.loads(report.read_text())["results"]["reach"]
    assert set(block["opposite"]) == set(KINDS)
    for figures in block["opposite"].values():
        for where in ("imagined", "real"):
            assert figures[where]["own"]["n"] == 2
            assert figures[where]["followed"]["n"] == 1
        assert figures["refused"] == 0
    assert block["grounding"]["sentences"] == 36
    assert block["grounding"]["unrelated_refused"]["mean"] == 0  # it takes every sentence for some
    assert block["transition"]["words_share_at_1"] > 0
    assert block["paraphrase"]["n"] == 1
    assert "own goal" in capsys.readouterr().out
