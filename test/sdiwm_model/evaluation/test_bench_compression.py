"""`sdiwm bench compression`: stages on the same episodes, plans and rounds of timing."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.checkpoint import read_manifest, write_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation import pruning_curve, ranking, round_robin, stage_estimates, stage_runs
from sdiwm_model.evaluation.kept import Kept
from sdiwm_model.evaluation.ranking import agreement
from sdiwm_model.evaluation.stage_accuracy import versus_full
from sdiwm_model.evaluation.stage_runs import between_seeds
from sdiwm_model.evaluation.stages import Stage, check_stages, read_stage, size_facts
from sdiwm_model.evaluation.tradeoffs import points_of

STEPS = 20
ESTIMATE = {"plan_ms": 5.0, "ms_est": 9.0, "fits": True, "plan": "32x4"}


@pytest.fixture(autouse=True)
def boards(monkeypatch):
    """A chip that runs all, and one that cannot."""

    class Estimated:
        def to_dict(self):
            return {key: ESTIMATE[key] for key in ("plan_ms", "ms_est", "fits")} | {"notes": ()}

    def estimate_bundle(bundle, board, settings):
        if board == "mps3-an547":
            raise SdiwmError("mps3-an547 cannot run it")
        return Estimated()

    monkeypatch.setattr(stage_estimates, "estimate_bundle", estimate_bundle)


@pytest.fixture
def asked(monkeypatch):
    """What was asked of closed-loop control, which costs minutes."""
    calls = []

    def control(task, bundles, backend, episodes, seeds, replan):
        calls.append((task, backend, episodes, tuple(seeds), replan))
        succeeded = [1.0, 1.0, 1.0, 1.0 if backend == "onnx" else 0.0]
        rate = {"mean": 0.0, "ci95": [0.0, 0.5], "n": 4}
        scores = [{"success": succeeded} for _ in bundles]
        return {
            "training_seeds": {"scores": scores},
            "random_success": rate,
            "oracle_success": rate | {"mean": 1.0},
        }

    monkeypatch.setattr(stage_runs, "control", control)
    return calls


@pytest.fixture
def measure(random_bundle, folders, tmp_path, monkeypatch, asked):
    monkeypatch.setattr(ranking, "SETS", 6)
    path = tmp_path / "compression.json"
    arguments = [
        "--task", "reach", "--stage", "full", str(random_bundle),
        "--stage", "quantised@native", str(random_bundle), "--horizon", str(STEPS),
        "--train-data", str(folders / "train"), "--data", str(folders / "a"), str(folders / "b"),
        "--seeds", "0", "1", "--seconds", "0", "--success-episodes", "2",
        "--keep", str(tmp_path / "kept"), "--json", str(path),
    ]  # fmt: skip

    def run(*more):
        assert cli.main(["bench", "compression", *arguments, *more]) == 0
        report = json.loads(path.read_text())
        return report["results"]["reach"] | {"notes": report["notes"]}

    return run


def test_stages_are_judged_on_the_same_episodes_and_timed_together(
    measure, asked, tmp_path, capsys
):
    results = measure()
    full, quantised = (results["stages"][name] for name in ("full", "quantised"))
    for block in (full, quantised):
        assert set(block["latency_ms"]) >= {"torch", "onnx", "native"}
        assert all(block["latency_ms"][target]["n"] >= 5 for target in ("torch", "onnx", "native"))
        assert block[f"hri_at_{STEPS}"]["n"] == 16
        assert block["success"]["n"] == 4
        assert block["control_hz"] > 0
        assert block["latency_ms"]["m7_est"] == ESTIMATE
        assert block["latency_ms"]["m55_est"] is None
    assert full["latency_ms"] == quantised["latency_ms"]  # one bundle, measured once
    assert quantised["speedup_of_stage"] > full["speedup_of_stage"]
    assert full["accuracy_vs_full"]["hri"]["mean"] == 1
    assert full["cost_rank_correlation"]["mean"] == 1
    versus = quantised["accuracy_vs_full"]
    assert 0.9 < versus["cost_rank_correlation"]["mean"] < 1
    assert versus["hri"]["mean"] == pytest.approx(
        quantised[f"hri_at_{STEPS}"]["mean"] / full[f"hri_at_{STEPS}"]["mean"]
    )
    assert versus["success"]["mean"] == 0.75
    assert set(versus["probe_error"]) == set(full[f"probe_error_at_{STEPS}"])
    assert quantised["success_every_tick"]["mean"] == 0.75
    assert "success_every_tick" not in full
    assert [call[-1] for call in asked] == ["step", "step", "tick"]
    assert results["oracle_success"]["mean"] == 1
    assert (tmp_path / "compression.png").stat().st_size > 10_000
    assert "cannot run it" in results["notes"]["stages.full.latency_ms.m55_est"]
    assert "quantised @native" in capsys.readouterr().out


def test_one_full_model_stands_for_all_training_seeds(measure, random_bundle):
    bundle = str(random_bundle)
    stages = measure("--stage", "pruned", bundle, bundle)["stages"]
    assert [stages[name]["success"]["n"] for name in ("full", "pruned")] == [4, 8]
    assert stages["pruned"]["training_seeds"]["success"] == [1.0, 1.0]
    versus = stages["pruned"]["accuracy_vs_full"]
    assert (versus["success"]["n"], versus["success"]["mean"], versus["hri"]["mean"]) == (8, 1, 1)


def test_a_stopped_bench_goes_on_and_measures_times_anew(measure, asked, monkeypatch):
    first = measure()
    monkeypatch.setattr(stage_runs, "judge", None)
    second = measure()
    assert len(asked) == 3
    same = [f"hri_at_{STEPS}", "success", "accuracy_vs_full"]
    for name in ("full", "quantised"):
        before, after = (each["stages"][name] for each in (first, second))
        assert [before[key] for key in same] == [after[key] for key in same]
        assert before["latency_ms"] != after["latency_ms"]


def test_a_bundle_that_plans_otherwise_by_now_is_driven_anew(
    measure, asked, random_bundle, tmp_path
):
    other = shutil.copytree(random_bundle, tmp_path / "other")
    stage = ("--stage", "other@native", str(other), "--deployed", "quantised")
    measure(*stage)
    assert len(asked) == 4
    manifest = read_manifest(other)
    write_manifest(other, replace(manifest, planner=replace(manifest.planner, candidates=8)))
    measure(*stage)
    assert len(asked) == 5


def test_pruning_is_drawn_against_masks_that_take_as_long_as_the_whole(
    measure, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(pruning_curve, "EPISODES", 4)
    monkeypatch.setattr(pruning_curve, "BATCHES", 2)
    curve = measure("--ratios", "0.25", "0.5")["pruning_curve"]
    assert curve["ratios"] == [0, 0.25, 0.5]
    smaller, masked = curve["structured"], curve["unstructured"]
    assert smaller["macs"][0] > smaller["macs"][1] > 2 * smaller["macs"][2]
    assert masked["macs"] == [smaller["macs"][0]] * 3
    for block in (smaller, masked):
        assert block["cost_rank_correlation"][0] == 1
        assert all(-1 <= each < 1 for each in block["cost_rank_correlation"][1:])
        assert all(each["n"] >= 5 for each in block["plan_ms"])
    assert (tmp_path / "compression_pruning.png").stat().st_size > 10_000
    assert "pruned at once, untrained" in capsys.readouterr().out


def test_a_ratio_that_leaves_no_unit_is_refused_before_any_work(random_bundle, capsys):
    arguments = ["--stage", "full", str(random_bundle), "--stage", "other", str(random_bundle)]
    assert cli.main(["bench", "compression", *arguments, "--ratios", "0.99"]) == 2
    assert "leaves none of the" in capsys.readouterr().err


def test_every_call_has_a_turn_in_every_round():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "abc"}
    times = round_robin.round_robin(calls, 0.0, seed=0)
    per_turn = round_robin.BURST_CALLS + 1  # the first one only fills the caches
    turns = [order[i] for i in range(0, len(order), per_turn)]
    assert all(sorted(turns[i : i + 3]) == ["a", "b", "c"] for i in range(0, len(turns), 3))
    assert len(turns) == 3 * round_robin.LEAST_TURNS
    assert {len(each) for each in times.values()} == {
        round_robin.LEAST_TURNS * round_robin.BURST_CALLS
    }


def test_what_is_kept_is_kept_for_the_same_question_alone(tmp_path):
    kept = Kept(tmp_path / "new")
    assert kept("a", {"seed": 0}, lambda: {"x": 1}) == {"x": 1}
    assert kept("a", {"seed": 0}, lambda: {"x": 2}) == {"x": 1}
    assert kept("a", {"seed": 1}, lambda: {"x": 2}) == {"x": 2}
    assert Kept(None)("a", {"seed": 0}, lambda: {"x": 3}) == {"x": 3}


def test_a_picture_shows_each_stage_at_its_own_latency_and_size():
    block = {
        "backend": "native",
        "latency_ms": {"torch": {"p50": 30.0}, "native": {"p50": 0.35}},
        "bytes": {"native": 120_000},
        "success": {"mean": 0.9, "ci95": [0.8, 0.95]},
    }
    points = points_of({"distilled": block}, "ms", "success")
    assert points == {"distilled": (0.35, block["success"])}
    assert points_of({"distilled": block}, "KB", "success") == {
        "distilled": (120.0, block["success"])
    }


def row(hri, error, success):
    return {
        "hri": hri,
        "probe_error": {"pucks_m": error},
        "cost_rank_correlation": [0.5, 1.0],
        "success": success,
    }


def test_shares_of_full_are_of_pairs_and_one_full_stands_for_all_seeds():
    full = [row([0.8, 0.6], [0.01, 0.03], [1.0, 1.0])]
    ours = [row([0.4, 0.3], [0.02, 0.06], [1.0, 0.0]), row([0.8, 0.6], [0.01, 0.03], [1.0, 1.0])]
    found = versus_full(ours, full, 0)
    assert found["hri"]["mean"] == pytest.approx(0.75)
    assert found["hri"]["n"] == 4
    assert found["probe_error"]["pucks_m"]["mean"] == pytest.approx(1.5)
    assert found["success"]["mean"] == 0.75
    assert found["cost_rank_correlation"]["mean"] == 0.75


def test_models_that_rank_alike_agree_whatever_their_costs_are():
    costs = np.array([[1.0, 2.0, 3.0, 4.0]])
    found = agreement(np.exp(costs), costs)
    assert found["cost_rank_correlation"].tolist() == [1]
    assert found["plan_regret"].tolist() == [0]
    assert between_seeds([{"costs": costs.tolist()}, {"costs": (-costs).tolist()}]) == -1
    assert between_seeds([{"costs": costs.tolist()}]) is None


def test_sizes_are_of_what_runs_in_control(random_bundle):
    facts = size_facts(random_bundle)
    size = read_manifest(random_bundle).sizes
    assert facts["params"] < facts["params_all"]
    assert facts["bytes"]["native"] < facts["bytes"]["torch"] == 4 * facts["params"]
    assert facts["bytes"]["mcu"] is None  # it has no encoder
    assert facts["macs"]["plan"] == 32 * (4 * size.macs_per_model_step + size.head * 33)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["full"], "write NAME or NAME@BACKEND, then its bundles"),
        (["full@gpu", "a"], "choose the back end from torch, onnx, native"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(words, sentence):
    with pytest.raises(SdiwmError, match=sentence):
        read_stage(words)


def test_stages_that_cannot_be_compared_are_refused(random_bundle, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(random_bundle, other)
    write_manifest(other, replace(read_manifest(other), task="push"))
    bare = tmp_path / "bare"
    shutil.copytree(random_bundle, bare)
    (bare / "vision.onnx").unlink()
    write_manifest(bare, read_manifest(bare, check_files=False))
    full = Stage("full", "onnx", (random_bundle, random_bundle))

    def refused(*stages):
        with pytest.raises(SdiwmError) as error:
            check_stages(stages, "reach")
        return str(error.value)

    assert "name 'full' first" in refused(full)
    assert "each once" in refused(full, full)
    assert "trained for the task push" in refused(full, Stage("pruned", "onnx", (other,)))
    assert "holds no vision.onnx" in refused(full, Stage("pruned", "onnx", (bare,)))
    thrice = Stage("pruned", "onnx", (random_bundle,) * 3)
    assert "names 2 bundles and 'pruned' 3" in refused(full, thrice)
    check_stages([full, Stage("pruned", "torch", (bare,))], "reach")
    check_stages([replace(full, bundles=(random_bundle,)), thrice], "reach")
