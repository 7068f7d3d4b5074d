"""The ablation of pre-training: same data, same updates, other first weights; kept and resumed."""

import json

import pytest

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.cli import main
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.data.shares import write_share
from sdiwm_model.errors import SdiwmError


def test_every_share_is_trained_from_both_starts_and_judged(
    small_data, miniature_settings, tmp_path, capsys
):
    pretraining = [
        "size=miniature", "size_changes={}", "frames=3", "hidden=0", "predictor_width=16",
        "predictor_depth=1", "predictor_heads=2", "updates=2", "momentum=0", "effective_batch=2",
        "micro_batch=2", "anti_collapse_weight=1",
    ]  # fmt: skip
    out, report = tmp_path / "runs", tmp_path / "report.json"
    arguments = [
        "bench", "pretraining", "--data", str(small_data), "--heldout", str(small_data),
        "--out", str(out), "--shares", "1", "0.5", "--horizon", "5", "--seeds", "0",
        "--set", *pretraining, "--train-set", *miniature_settings, "language_steps=0",
        "--json", str(report),
    ]  # fmt: skip
    assert main(arguments) == 0
    shares = json.loads(report.read_text())["results"]["reach"]
    assert set(shares) == {"1", "0.5"}
    for starts in shares.values():
        assert set(starts) == {"scratch", "pretrained"}
        for block in starts.values():
            assert -1 <= block["mean"]["hri_at_5"] <= 1
            assert block["mean"]["cost_error"] > 0
            assert {"encoded_pucks_m", "predicted_pucks_m_at_5"} <= set(block["mean"])
    runs = {s: read_manifest(out / "0.5" / s / "0") for s in ("scratch", "pretrained")}
    assert runs["scratch"].provenance["data"] == runs["pretrained"].provenance["data"]
    assert runs["scratch"].provenance["vision"] is None
    assert runs["pretrained"].provenance["vision"]["effective_rank"] > 0
    capsys.readouterr()
    assert main(arguments) == 0
    assert "robot training" not in capsys.readouterr().out


def test_a_smaller_share_is_part_of_a_larger_one(small_data, tmp_path):
    for share in (0.5, 0.84):
        count = write_share([small_data], share, 1, tmp_path / str(share))
        assert count == len(ShardReader(tmp_path / str(share))) == round(share * 6)
    seeds = [{e.seed for e in ShardReader(tmp_path / s).episodes()} for s in ("0.5", "0.84")]
    assert seeds[0] < seeds[1]


@pytest.mark.parametrize("share", [0.0, 0.1, 1.5])
def test_a_share_of_nothing_is_refused(small_data, tmp_path, share):
    with pytest.raises(SdiwmError, match="of 6 episodes"):
        write_share([small_data], share, 0, tmp_path / "share")
