"""The best recipe within bounds: what cannot be met is said first, what was judged is kept."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.compression import under
from sdiwm_model.compression.constraints import (
    Forecast,
    broken,
    check_reachable,
    on_host,
    read_constraints,
)
from sdiwm_model.compression.pipeline import Source
from sdiwm_model.compression.recipe import load_recipe
from sdiwm_model.compression.steps import Foreseen
from sdiwm_model.compression.under import Row, search
from sdiwm_model.errors import SdiwmError
from sdiwm_model.training.finish import CALIBRATION

SUCCESS = {32: 0.5, 128: 0.9, 512: 0.9}  # of candidates, in the place of a simulator


@pytest.fixture
def run(random_bundle, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(random_bundle, folder)
    (folder / CALIBRATION).touch()
    return folder


@pytest.fixture
def recipes(tmp_path):
    def loaded(**more):
        steps = [{"planner": {"candidates": {"choose": list(SUCCESS)}}}]
        path = tmp_path / "space.yaml"
        path.write_text(yaml.safe_dump({"steps": steps, "search": more}))
        return load_recipe(str(path), "reach")

    return loaded


@pytest.fixture
def judged(monkeypatch):
    """Which folders were judged, in the place of the simulator and of the export."""
    seen = []

    def control(task, bundles, backend, episodes, seeds, replan):
        seen.append((bundles[0].name, backend))
        share = 1.0
        if backend == "native":
            share = SUCCESS[read_manifest(bundles[0]).planner.candidates]
        return {"success": {"mean": share}}

    monkeypatch.setattr(under, "control", control)
    monkeypatch.setattr(under, "export_bundle", lambda run, out, seed: shutil.copytree(run, out))
    return seen


def test_the_fastest_of_those_that_lose_least_is_best(run, recipes, judged, tmp_path, monkeypatch):
    def told(after, seed):  # a busy machine may turn the order of measured times
        return Forecast({"plan_ms": after.planner.candidates / 1000})

    monkeypatch.setattr(under, "on_host", told)
    found = search(recipes(), Source(run, (), 0), {"success_drop": 20.0}, tmp_path / "work")
    assert found.best == "1.planner.candidates=128"
    drops = {row.label: row.figures["success_drop"] for row in found.rows}
    assert drops == pytest.approx(
        {
            "1.planner.candidates=32": 50,
            "1.planner.candidates=128": 10,
            "1.planner.candidates=512": 10,
        }
    )
    assert [row.front for row in found.rows] == [True, True, False]
    found.check_success({"success_drop": 20.0})
    with pytest.raises(
        SdiwmError, match=r"success_drop=2 was not met: the nearest is 1.planner.cand"
    ):
        found.check_success({"success_drop": 2.0})


def test_what_was_judged_is_not_judged_again(run, recipes, judged, tmp_path):
    source, work = Source(run, (), 0), tmp_path / "work"
    found = search(recipes(), source, {}, work)
    assert [backend for _, backend in judged] == ["torch", "native", "native", "native"]
    assert search(recipes(), source, {}, work) == found
    assert len(judged) == 4
    search(recipes(episodes=7), source, {}, work)
    assert len(judged) == 8


def test_what_is_outside_the_bounds_is_neither_trained_nor_judged(run, recipes, judged, tmp_path):
    every = search(recipes(), Source(run, (), 0), {}, tmp_path / "work")
    times = [row.figures["plan_ms"] for row in every.rows]
    judged.clear()
    bound = {"plan_ms": (times[1] + times[2]) / 2}
    found = search(recipes(episodes=1), Source(run, (), 0), bound, tmp_path / "work2")
    assert len(judged) == 3
    assert found.rows[2].verdict == "outside the bounds: plan_ms"
    assert found.rows[2].success is None


def test_no_more_recipes_are_tried_than_allowed(run, recipes, judged, tmp_path):
    found = search(recipes(most=2), Source(run, (), 0), {}, tmp_path / "work")
    assert [row.verdict for row in found.rows] == [
        "judged",
        "not tried: more than search.most",
        "judged",
    ]


def test_impossible_bounds_are_refused_with_the_nearest_before_anything_is_judged(
    run, recipes, judged, tmp_path
):
    with pytest.raises(
        SdiwmError, match=r"plan_ms=1e-06 cannot be met: .* \(1.planner.candidates=32"
    ):
        search(recipes(), Source(run, (), 0), {"plan_ms": 1e-6}, tmp_path / "work")
    assert not judged
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["search.json"]


def test_bounds_that_exclude_each_other_are_refused_with_the_nearest():
    forecasts = {
        "small": Forecast({"plan_ms": 1.0, "sram_kb": 300.0}),
        "slow": Forecast({"plan_ms": 9.0, "sram_kb": 90.0}),
    }
    bounds = {"plan_ms": 2.0, "sram_kb": 100.0}
    with pytest.raises(SdiwmError, match="no recipe in FILE meets all; the nearest is small with "):
        check_reachable(bounds, forecasts, "FILE")
    unknown = {"a": Forecast({"plan_ms": 1.0, "m7_ms": None}, ("llvm-mca is not installed",))}
    with pytest.raises(SdiwmError, match="m7_ms: it is unknown here .*llvm-mca is not installed"):
        check_reachable({"m7_ms": 20.0}, unknown, "FILE")
    check_reachable({"success_drop": 0.0}, forecasts, "FILE")


def test_a_figure_that_is_unknown_keeps_no_bound():
    figures = {"plan_ms": 1.0, "m7_ms": None}
    assert broken({"plan_ms": 1.0, "m7_ms": 20.0, "success_drop": 2.0}, figures) == ["m7_ms"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("speed=1", "there is no constraint 'speed'"),
        ("plan_ms", "'' is no number above 0"),
        ("plan_ms=-1", "'-1' is no number above 0"),
        ("plan_ms=nan", "'nan' is no number above 0"),
    ],
)
def test_a_constraint_that_says_nothing_is_refused(text, sentence):
    with pytest.raises(SdiwmError, match=sentence):
        read_constraints([text])


def test_constraints_are_named_once():
    assert read_constraints(["plan_ms=1", "success_drop=0"]) == {"plan_ms": 1, "success_drop": 0}
    with pytest.raises(SdiwmError, match="names plan_ms twice"):
        read_constraints(["plan_ms=1", "plan_ms=2"])


def test_the_front_holds_what_nothing_beats_in_every_figure():
    rows = [
        Row("a", {"plan_ms": 1.0, "success_drop": 5.0}, "judged", 0.9),
        Row("b", {"plan_ms": 2.0, "success_drop": 1.0}, "judged", 0.9),
        Row("c", {"plan_ms": 2.0, "success_drop": 6.0}, "judged", 0.9),
        Row("d", {"plan_ms": 0.1}, "outside the bounds: sram_kb"),
    ]
    assert [row.front for row in under._with_front(rows)] == [True, True, False, False]


def test_more_candidates_take_longer_on_random_weights(random_bundle):
    manifest = read_manifest(random_bundle)
    times = []
    for candidates in (64, 512):
        planner = replace(manifest.planner, candidates=candidates, horizon=16)
        after = Foreseen("it", manifest.sizes, planner, True, None)
        times.append(on_host(after, 0).figures["plan_ms"])
    assert 0 < 2 * times[0] < times[1]


def test_damaged_notes_of_an_earlier_search_are_refused(run, recipes, judged, tmp_path):
    (tmp_path / "search.json").write_text("{")
    with pytest.raises(SdiwmError, match="remove it to search anew"):
        search(recipes(), Source(run, (), 0), {}, tmp_path)
    (tmp_path / "search.json").write_text(json.dumps({}))
    assert search(recipes(), Source(run, (), 0), {}, tmp_path).best
