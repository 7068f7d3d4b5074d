"""Reports carry what they depend on, and plain JSON."""

import json
import subprocess

import numpy as np
import pytest

from sdiwm_model.report import (
    bootstrap_interval,
    build_report,
    commit,
    distribution,
    paired_ratio,
    rate,
    write_json,
)


def test_a_report_names_all_that_the_figures_depend_on(tmp_path):
    report = build_report("latency", "sdiwm bench latency", [0], {"plan": np.float32(2.5)})
    write_json(tmp_path / "new" / "report.json", report)
    read = json.loads((tmp_path / "new" / "report.json").read_text())
    assert list(read) == ["bench", "command", "commit", "machine", "versions", "seeds", "results"]
    assert read["results"] == {"plan": 2.5}
    assert read["machine"]["cores"] >= 1
    assert read["versions"]["numpy"] == np.__version__


def test_a_commit_is_dirty_where_the_source_differs_and_not_for_a_report_made_anew(tmp_path):
    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)
        return done.stdout.decode().strip()

    assert commit(tmp_path) is None
    git("init")
    assert commit(tmp_path) is None  # nothing is committed yet
    source, report = tmp_path / "a.py", tmp_path / "doc/results/a.json"
    report.parent.mkdir(parents=True)
    source.write_text("1")
    report.write_text("1")
    git("add", ".")
    git("commit", "-m", "a")
    report.write_text("2")
    assert commit(tmp_path) == git("rev-parse", "HEAD")
    source.write_text("2")
    assert commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"


def test_a_figure_that_is_not_finite_becomes_null_with_its_reason():
    report = build_report("x", "x", [], {"a": {"b": [1.0, float("nan")]}}, {"c": "no board"})
    assert report["results"] == {"a": {"b": [1.0, None]}}
    assert report["notes"] == {
        "c": "no board",
        "a.b[1]": "measured as nan, which JSON cannot carry",
    }


def test_a_distribution_has_the_percentiles_of_its_values():
    found = distribution(np.arange(1001))
    expected = {"p50": 500.0, "p99": 990.0, "p999": 999.0, "max": 1000.0, "n": 1001}
    assert found == pytest.approx(expected)
    assert distribution([]) == {"p50": None, "p99": None, "p999": None, "max": None, "n": 0}


def test_a_rate_carries_wilsons_interval():
    found = rate(95, 100)  # interval from statsmodels' proportion_confint(95, 100, method="wilson")
    assert found["mean"] == 0.95
    assert found["ci95"] == pytest.approx([0.8882, 0.9785], abs=1e-4)
    assert rate(100, 100)["ci95"][1] == 1.0
    assert rate(0, 100)["ci95"][0] == 0.0
    assert rate(0, 0) == {"mean": None, "ci95": [None, None], "n": 0}
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        rate(3, 2)


def test_the_bootstrap_covers_the_mean_and_repeats_with_its_seed():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    low, high = bootstrap_interval(values, seed=1)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.2)
    assert bootstrap_interval(values, seed=1) == [low, high]


def test_a_failed_write_leaves_the_old_report(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"new": float("nan")})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_ratio_of_pairs_is_tighter_than_that_of_strangers():
    rng = np.random.default_rng(0)
    theirs = rng.uniform(100, 900, 60)
    ours = 0.9 * theirs + rng.normal(0, 5, 60)
    paired = paired_ratio(ours, theirs, 0)
    strangers = paired_ratio(rng.permutation(ours), theirs, 0)
    assert paired["mean"] == pytest.approx(strangers["mean"])
    assert paired["mean"] == pytest.approx(0.9, abs=0.01)
    low, high = paired["ci95"]
    assert low < paired["mean"] < high
    assert 5 * (high - low) < strangers["ci95"][1] - strangers["ci95"][0]


def test_nothing_is_no_ratio():
    assert np.isnan(paired_ratio(np.ones(4), np.zeros(4), 0)["mean"])
    assert paired_ratio(np.zeros(4), np.ones(4), 0)["mean"] == 0
