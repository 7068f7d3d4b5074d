"""`sdiwm bench quantisation`, and what int8 costs a bundle."""

import json

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.compression import search
from sdiwm_model.evaluation import int8, quantisation

STEPS = 20


@pytest.fixture
def report(random_bundle, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(quantisation, "SETS", 6)
    for name, value in {"CANDIDATES": {}, "ROUNDS": 1, "STARTS": 8, "SETS": 8}.items():
        monkeypatch.setattr(search, name, value)
    path = tmp_path / "quantisation.json"
    arguments = [
        "--task", "reach", "--model", str(random_bundle), "--horizon", str(STEPS),
        "--train-data", str(folders / "train"), "--data", str(folders / "a"), str(folders / "b"),
        "--seeds", "0", "1", "--updates", "2", "--json", str(path),
    ]  # fmt: skip
    assert cli.main(["bench", "quantisation", *arguments]) == 0
    return json.loads(path.read_text())


def test_every_way_is_judged_alike(report, capsys):
    methods = report["results"]["methods"]
    ways = ["min_max", "percentile", "fixed_ranges", "drift_aware", "fine_tuned", "shipped"]
    assert list(methods) == ["float", *ways]
    for name in ways:
        block = methods[name]
        assert list(block["drift"]) == ["1", "8"]
        assert 0 < block["drift"]["1"]["mean"] < block["drift"]["8"]["mean"] < 0.5
        assert 0.5 < block["cost_ranking"]["mean"] <= 1
        assert block["plan_regret"]["mean"] >= 0
        lost = block[f"hri_lost_at_{STEPS}"]
        apart = methods["float"][f"hri_at_{STEPS}"]["mean"] - block[f"hri_at_{STEPS}"]["mean"]
        assert lost["mean"] == pytest.approx(apart, abs=1e-9)
        assert lost["n"] == 16
    assert methods["drift_aware"]["ranges"]["feedback"] is True
    naive, ours = methods["min_max"], methods["drift_aware"]
    assert ours["drift"]["1"]["mean"] < naive["drift"]["1"]["mean"]
    assert "methods.*.success" in report["notes"]


def test_int8_is_compared_with_float_on_the_same_episodes(random_bundle, folders, monkeypatch):
    rates = {"onnx": 0.9, "native": 0.85}
    asked = []

    def closed_loop(task, bundle, backend, episodes, seeds):
        asked.append((task, bundle, backend, episodes, tuple(seeds)))
        return {"success": {"mean": rates[backend], "ci95": [0, 1], "n": 10}}

    monkeypatch.setattr(int8, "closed_loop", closed_loop)
    monkeypatch.setattr(int8, "statistics_folder", lambda *about: folders / "train")
    monkeypatch.setattr(int8, "heldout_folder", lambda *about: folders / "ab"[about[4]])
    found = int8.int8_vs_float(random_bundle, 5, [0, 1], STEPS)
    assert asked == [("reach", random_bundle, backend, 5, (0, 1)) for backend in rates]
    assert found["success_lost"] == pytest.approx(0.05)
    assert found["float"][f"hri_at_{STEPS}"]["n"] == 16
    key = f"hri_at_{STEPS}"
    apart = found["float"][key]["mean"] - found["int8"][key]["mean"]
    assert found["hri_lost"]["mean"] == pytest.approx(apart, abs=1e-9)
    assert 0 < np.abs(apart) < 0.1
