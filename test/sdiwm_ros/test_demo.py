import json

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
from sdiwm_model.cli import main
from sdiwm_ros import graph


@pytest.fixture
def scripted_demo(scripted, monkeypatch, tmp_path):
    monkeypatch.setattr("sdiwm_ros.models.model_bytes", lambda *args: 1024)
    monkeypatch.setattr("sdiwm_ros.trial.check_named", lambda *args: None)  # there is no bundle
    return lambda *words: main(["demo", "--out", str(tmp_path), *words])


def test_a_demo_tells_shows_and_writes_what_happened(scripted_demo, tmp_path, capsys):
    assert scripted_demo("--episodes", "1", "--say", "touch the red one", "--seed", "4") == 0
    said = capsys.readouterr().out
    assert "“touch the red one”" in said
    assert "replan rate" in said
    report = json.loads((tmp_path / "demo.json").read_text())
    assert report["results"]["success"]["n"] == 1
    assert report["results"]["replan_hz"] > 50
    for name in ("demo.mp4", "latency.png"):
        assert (tmp_path / name).stat().st_size > 1000
    with np.load(tmp_path / "imagined.npz") as imagined:
        assert len(imagined["stamp_ns"]) == len(imagined["points"]) > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--backend", "abacus"], "unknown back end 'abacus'"),
        (["--model", "nowhere"], "no model bundle at nowhere"),
        (["--task", "juggle"], "no model is shipped for the task 'juggle'"),
        (["--json", "."], "--json . is a folder"),
    ],
)
def test_what_no_node_could_load_is_refused_before_anything_is_written(
    tmp_path, capsys, words, sentence
):
    out = tmp_path / "run"
    assert main(["demo", "--out", str(out), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--say", "how is the weather?"], "how is the weather?"),
        (["--task", "juggle"], "juggle"),
        (["--episodes", "0"], "--episodes 0"),
        (["--say", " "], "--say"),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence_and_leaves_no_process(
    scripted_demo, capsys, monkeypatch, words, sentence
):
    graphs = []
    start = graph.Graph.__enter__
    monkeypatch.setattr(graph.Graph, "__enter__", lambda g: (graphs.append(g), start(g))[1])
    assert scripted_demo(*words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith("sdiwm: error: ")]) == 1
    assert sentence in errors[-1]
    assert all(p.poll() is not None for g in graphs for p in g._processes.values())
