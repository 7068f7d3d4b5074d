import json

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_sim.closed_loop import ExpertController
from sdiwm_sim.collect import episode_seed
from sdiwm_sim.task import make_task
from sdiwm_sim.trials import counts, draw_trials, layout_seed, per_seed, run_trials


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
    assert "success" in capsys.readouterr().out


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
