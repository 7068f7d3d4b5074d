import json
from types import SimpleNamespace

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_sim.closed_loop import ExpertController, Timings
from sdiwm_sim.collect import episode_seed
from sdiwm_sim.commands import bench_control
from sdiwm_sim.task import Outcome, make_task
from sdiwm_sim.trials import (
    Result,
    Trial,
    counts,
    draw_trials,
    layout_seed,
    per_seed,
    rewards,
    run_trials,
)


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


def test_splits_share_layouts_and_goals_and_no_sentence(task):
    train = draw_trials(task, [0, 3], 20, "train")
    heldout = draw_trials(task, [0, 3], 20, "heldout")
    assert [(t.layout, t.goal) for t in train] == [(t.layout, t.goal) for t in heldout]
    assert len({t.layout for t in train}) == 40
    assert not {t.instruction for t in train} & {t.instruction for t in heldout}
    assert {t.goal for t in train} == {0, 1, 2, 3}
    assert train == draw_trials(task, [0, 3], 20, "train")


def test_no_trial_has_a_layout_that_can_be_collected():
    largest = episode_seed(10**10, 999_999)
    assert layout_seed(0, 0) > largest
    assert layout_seed(2**32 - 1, 999_999) < 2**63
    assert layout_seed(1, 0) > layout_seed(0, 999_999)


def test_a_refused_sentence_is_a_failure_and_counted(task):
    class Deaf(ExpertController):
        def begin(self, task, seed):
            if task.goal == 0:
                raise InstructionError("no")

    trials = draw_trials(task, [0, 1], 10, "train")
    results = run_trials(task, Deaf(), trials)
    figures = counts(results)
    red = sum(trial.goal == 0 for trial in trials)
    assert figures["refused"]["mean"] == red / 20
    assert figures["success"]["mean"] == (20 - red) / 20
    assert figures["time_to_success_s"]["n"] == 20 - red
    assert 0.3 <= figures["time_to_success_s"]["p50"] <= 3
    assert per_seed(results)["1"]["success"]["n"] == 10


def test_goals_in_pictures_have_no_sentence(task):
    class Shown:
        goals = task.goals
        goal_modality = "image"

    drawn = draw_trials(Shown(), [0], 5, "heldout")
    assert [t.goal for t in drawn] == [t.goal for t in draw_trials(task, [0], 5, "train")]
    assert {t.instruction for t in drawn} == {""}


def results_with(rewards_of):
    return [
        Result(Trial(0, i, 0, "go"), Outcome(False, False, False, None, reward))
        for i, reward in enumerate(rewards_of)
    ]


def test_a_return_is_the_mean_over_episodes():
    figures = counts(results_with([100.0, 300.0]))
    assert figures["return"]["mean"] == 200
    assert figures["return"]["n"] == 2
    assert "return" not in counts(results_with([None, None]))


def test_a_return_stands_beside_the_oracles_and_a_share_of_it():
    ours, theirs = results_with([100.0, 300.0]), results_with([200.0, 600.0])
    added = bench_control._beside("oracle", ours, theirs, 0)
    assert added["oracle_return"]["mean"] == 400
    assert added["return_ratio"]["mean"] == 0.5
    assert added["oracle_success"]["n"] == 2
    assert set(bench_control._beside("random", ours, theirs, 0)) == {
        "random_success",
        "random_return",
    }


def test_a_comparison_is_of_returns_where_there_are_any():
    controller = SimpleNamespace(timings=Timings(plan_ms=[1.0]), settings=PlannerSettings())
    compared = bench_control._comparison(
        results_with([90.0, 90.0]), results_with([100.0, 100.0]), controller, 0
    )
    assert compared["ratio"]["mean"] == pytest.approx(0.9)
    assert compared["compared"]["planner"]["candidates"] == 512


def test_a_refused_sentence_earns_nothing():
    assert rewards(results_with([50.0, None])).tolist() == [50.0, 0.0]


@pytest.mark.parametrize(("episodes", "split"), [(0, "train"), (10**6 + 1, "train"), (1, "both")])
def test_bad_trials_are_refused(task, episodes, split):
    with pytest.raises(SdiwmError):
        draw_trials(task, [0], episodes, split)


def test_the_report_has_every_key(random_bundle, tmp_path, capsys):
    report = tmp_path / "control.json"
    arguments = ["--model", str(random_bundle), "--episodes", "1", "--seeds", "0", "7"]
    assert cli.main(["bench", "control", *arguments, "--json", str(report)]) == 0
    block = json.loads(report.read_text())["results"]["reach"]
    for key in ("success", "wrong_target", "passed_over_wrong", "random_success",
                "oracle_success", "heldout_success"):  # fmt: skip
        assert block[key]["n"] == 2, key
    assert block["oracle_success"]["mean"] == 1
    assert block["plan_ms"]["n"] > 0
    assert block["encode_ms"]["n"] > 0
    assert len(block["model_hash"]) == 16
    assert set(block["per_seed"]) == {"0", "7"}
    assert block["training_seeds"]["success"][0]["mean"] == block["success"]["mean"]
    assert block["training_seeds"]["success_std"] is None
    assert "compared" not in block
    assert "success" in capsys.readouterr().out


def test_settings_are_compared_on_the_same_episodes(random_bundle, tmp_path, capsys):
    report = tmp_path / "control.json"
    bundle = str(random_bundle)
    arguments = ["--model", bundle, bundle, "--episodes", "1", "--seeds", "0"]
    arguments += ["--heldout-episodes", "0", "--set", "candidates=16", "horizon=2"]
    arguments += ["--compare", "candidates=8", "--replan", "step", "--json", str(report)]
    assert cli.main(["bench", "control", *arguments]) == 0
    block = json.loads(report.read_text())["results"]["reach"]
    assert (block["planner"]["candidates"], block["planner"]["horizon"]) == (16, 2)
    assert (
        block["compared"]["planner"]["candidates"],
        block["compared"]["planner"]["horizon"],
    ) == (8, 4)
    assert block["compared"]["success"]["n"] == block["ratio"]["n"] == 1
    assert "heldout_success" not in block
    assert len(block["training_seeds"]["success"]) == 2
    first, second = block["training_seeds"]["scores"]
    assert first == second == {"success": [block["success"]["mean"]]}
    assert block["plan_ms"]["n"] <= block["encode_ms"]["n"]  # 25 Hz of plans, 30 Hz of pictures
    assert block["training_seeds"]["success_std"] == 0
    shown = capsys.readouterr().out
    assert "with candidates 8, horizon 4" in shown
    assert "success of 2 training seeds" in shown


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("candidate=3", "write NAME=VALUE, NAME one of candidates"),
        ("candidates=many", "'candidates' is 'many': use a whole number"),
        ("use_prior=7", "'use_prior' is '7': use true or false"),
        ("candidates=1", "planner.candidates is 1: use 2 or more"),
    ],
)
def test_bad_planner_settings_are_refused(random_bundle, change, sentence, capsys):
    arguments = ["--model", str(random_bundle), "--compare", change]
    assert cli.main(["bench", "control", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_run_prints_a_line_an_episode(random_bundle, capsys):
    assert cli.main(["run", "--model", str(random_bundle), "--episodes", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "of 2 succeeded" in lines[-1]


def test_run_refuses_an_empty_sentence(random_bundle, capsys):
    assert cli.main(["run", "--model", str(random_bundle), "--say", " "]) == 2
    assert "instruction is empty" in capsys.readouterr().err


def test_the_planner_collects_too(random_bundle, tmp_path):
    out = tmp_path / "data"
    arguments = ["--mixture", "planner=1", "--model", str(random_bundle), "--out", str(out)]
    assert cli.main(["collect", *arguments, "--episodes", "2", "--steps", "10"]) == 0
    from sdiwm_model.data.shards import ShardReader

    reader = ShardReader(out)
    assert [episode.behaviour for episode in reader.episodes()] == ["planner"] * 2
    assert np.ptp(reader.read(0).action) > 0
    assert len(reader.manifests[0]["provenance"]["model_hash"]) == 16
