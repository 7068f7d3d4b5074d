"""The bench of world-action models: one command, a table, a report and a picture."""

import json

import pytest

from sdiwm_model.cli import main


@pytest.fixture
def short_episodes(monkeypatch):
    from sdiwm_sim.tasks.reach import ReachTask

    monkeypatch.setattr(ReachTask, "time_limit", 0.24)


def test_success_latency_and_the_difference_to_symmetric_steps_are_reported(
    wam_bundle, short_episodes, tmp_path, capsys
):
    report = tmp_path / "wam.json"
    arguments = ["bench", "wam", "--task", "reach", "--model", str(wam_bundle)]
    arguments += ["--runs", str(wam_bundle), str(wam_bundle)]
    arguments += ["--parts", "grid", "proposals", "--pairs", "0x1", "--seconds", "0.01"]
    assert main([*arguments, "--episodes", "1", "--seeds", "3", "--json", str(report)]) == 0
    block = json.loads(report.read_text())["results"]["reach"]
    assert list(block["grid"]) == ["1x2 joint", "0x1 prefill", "10x10 joint"]
    for cell in block["grid"].values():
        assert cell["success"]["n"] == 2 and len(cell["per_model"]) == 2
        assert cell["minus_symmetric"]["mean"] == pytest.approx(
            cell["success"]["mean"] - block["grid"]["10x10 joint"]["success"]["mean"]
        )
    assert block["grid"]["10x10 joint"]["factor"] == 1.0
    assert block["macs"]["10x10 joint"] > 3 * block["macs"]["1x2 joint"]
    assert set(block["proposals"]) == {"wam+mppi 32", "mppi 32", "mppi 512"}
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "1x2 joint *" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--model", "BUNDLE"], "--task"),
        (["--task", "reach", "--model", "BUNDLE", "--pairs", "1by2"], "1by2"),
        (["--task", "reach", "--model", "BUNDLE", "--runs", "none"], "--runs"),
        (["--task", "reach", "--model", "BUNDLE", "--episodes", "0"], "--episodes"),
    ],
)
def test_what_makes_no_sense_is_refused(wam_bundle, arguments, word, capsys):
    given = [str(wam_bundle) if each == "BUNDLE" else each for each in arguments]
    assert main(["bench", "wam", *given]) != 0
    assert word in capsys.readouterr().err
