import json

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.evaluation.recordings import HELDOUT_SEED, STATISTICS_SEED

STEPS = 20


@pytest.fixture(scope="module")
def report(random_bundle, folders, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "horizon.json"
    arguments = [
        "--model", str(random_bundle), str(random_bundle), "--one-step", str(random_bundle),
        "--horizon", str(STEPS),
        "--train-data", str(folders / "train"), "--data", str(folders / "a"), str(folders / "b"),
        "--seeds", "0", "1", "--success-episodes", "0", "--json", str(path),
    ]  # fmt: skip
    assert cli.main(["bench", "horizon", *arguments]) == 0
    return path


def test_every_block_has_every_key(report):
    results = json.loads(report.read_text())["results"]
    for name in ("shipped", "int8", "one_step"):
        block = results[name]
        assert len(block["hri"]) == len(block["hri_centred"]) == STEPS
        low, high = block[f"hri_ci95_at_{STEPS}"]
        assert low <= block["hri"][-1] <= high
        assert set(block[f"baselines_at_{STEPS}"]) == {
            "mean", "persistence", "shuffled_episode", "time_mean", "shuffled_actions",
            "other_actions", "linear_ar",
        }  # fmt: skip
        assert block[f"baselines_at_{STEPS}"]["mean"] == pytest.approx(0, abs=1e-6)
        for key in ("effective_rank", "valid", f"r2_at_{STEPS}", f"retrieval_at_{STEPS}",
                    f"skill_at_{STEPS}"):  # fmt: skip
            assert block[key] is not None, (name, key)
        assert set(block[f"probe_error_at_{STEPS}"]) == {"fingertip_m", "joints_rad", "pucks_m"}
        assert len(block[f"hri_per_seed_at_{STEPS}"]) == 2
        for curve in block["baselines"].values():
            assert len(curve) == STEPS
        errors = block["probe_error"]
        assert {name: curve[-1] for name, curve in errors.items()} == block[
            f"probe_error_at_{STEPS}"
        ]
    for name in ("shipped", "int8"):
        assert len(results[name]["ceiling"]) == STEPS
        assert -1 <= results[name][f"ceiling_at_{STEPS}"] <= 1


def test_training_seeds_are_listed_with_their_spread(report):
    results = json.loads(report.read_text())["results"]
    family = results["training_seeds"]
    assert family[f"hri_at_{STEPS}"] == [results["shipped"]["hri"][-1]] * 2
    assert family["std"][f"hri_at_{STEPS}"] == 0
    assert family["mean"][f"skill_at_{STEPS}"] == results["shipped"][f"skill_at_{STEPS}"]
    assert len(results["one_step_training_seeds"]["model_hash"]) == 1


def test_int8_is_scored_against_the_float_targets(report):
    results = json.loads(report.read_text())["results"]
    assert results["int8"]["effective_rank"] == results["shipped"]["effective_rank"]
    difference = np.subtract(results["int8"]["hri"], results["shipped"]["hri"])
    assert 0 < np.abs(difference).max() < 0.1
    assert results["int8"]["rounding_certified"] > 0


def test_the_observed_jacobians_keep_to_the_certificate(report):
    block = json.loads(report.read_text())["results"]["shipped"]
    assert block["lipschitz_observed"]["max"] <= block["lipschitz_certified"]


def test_missing_figures_have_a_reason(report):
    notes = json.loads(report.read_text())["notes"]
    assert "shipped.success" in notes


def test_a_picture_lies_beside_the_report(report):
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_one_folder_a_seed_is_asked_for(random_bundle, folders, capsys):
    arguments = ["--train-data", str(folders / "train"), "--data", str(folders / "a")]
    assert cli.main(["bench", "horizon", "--model", str(random_bundle), *arguments]) == 2
    assert "names 1 folders for 3 --seeds" in capsys.readouterr().err


def test_episodes_that_are_too_short_are_refused(random_bundle, folders, capsys):
    arguments = ["--train-data", str(folders / "train"), "--data", str(folders / "a")]
    arguments += ["--seeds", "0", "--horizon", "45", "--model", str(random_bundle)]
    assert cli.main(["bench", "horizon", *arguments]) == 2
    assert "a horizon of 45 needs episodes of 46 steps" in capsys.readouterr().err


def test_the_benchs_own_episodes_are_never_those_of_training():
    assert STATISTICS_SEED >= 1_000_000
    assert HELDOUT_SEED > STATISTICS_SEED
