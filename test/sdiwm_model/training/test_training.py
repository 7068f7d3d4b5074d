"""A run trains, survives being killed, and refuses what contradicts itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sdiwm_model.checkpoint import WEIGHTS, load_model, read_manifest
from sdiwm_model.cli import main
from sdiwm_model.errors import SdiwmError
from sdiwm_model.losses import cost_loss
from sdiwm_model.training import stages
from sdiwm_model.training.config import configure
from sdiwm_model.training.run import train
from sdiwm_model.training.snapshot import FILE, Position, save_snapshot


class KilledError(Exception):
    """Stands for SIGKILL at a chosen update."""


def weights_of(folder):
    return {name: t.clone() for name, t in load_model(folder)[0].state_dict().items()}


def test_a_miniature_is_trained_exported_and_driven_end_to_end(
    small_data, miniature_settings, tmp_path, capsys
):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    assert (
        main(["train", "--data", str(small_data), "--out", str(run), "--set", *miniature_settings])
        == 0
    )
    assert main(["export", "--model", str(run), "--out", str(bundle)]) == 0
    manifest = read_manifest(bundle)
    assert manifest.provenance["data"][0]["seed"] == 7
    assert {"model.safetensors", "step.onnx", "engine.safetensors"} <= set(manifest.files)
    assert main(["run", "--task", "reach", "--model", str(bundle), "--backend", "onnx",
                 "--episodes", "1"]) == 0  # fmt: skip
    assert "of 1 succeeded" in capsys.readouterr().out


def test_training_lowers_the_cost_error(small_data, tmp_path, monkeypatch):
    costs = []
    settings = {"vision_steps": 150, "vision_batch": 32, "world_steps": 2, "world_batch": 4}
    short = {"size": "miniature", "language_steps": 0, "horizon": 4, "long_horizon": 4}
    config = configure([f"{name}={value}" for name, value in (settings | short).items()])

    def watched(predicted, target):
        costs.append(cost_loss(predicted, target))
        return costs[-1]

    monkeypatch.setattr("sdiwm_model.training.stages.cost_loss", watched)
    train([small_data], tmp_path, config, seed=0)
    costs = [cost.item() for cost in costs]
    assert np.mean(costs[130:150]) < 0.7 * np.mean(costs[:20])


@pytest.mark.parametrize(("stage", "update"), [("vision", 7), ("world", 13)])
def test_a_killed_run_goes_on_to_the_same_weights(small_data, tmp_path, miniature, stage, update):
    def kill(at_stage, done):
        if (at_stage, done) == (stage, update):
            raise KilledError

    train([small_data], tmp_path / "whole", miniature, seed=3)
    with pytest.raises(KilledError):
        train([small_data], tmp_path / "broken", miniature, seed=3, after_update=kill)
    assert not (tmp_path / "broken" / WEIGHTS).exists()
    updates = []
    train(
        [small_data],
        tmp_path / "broken",
        miniature,
        seed=3,
        after_update=lambda s, d: updates.append((s, d)),
    )
    assert updates[0] == (stage, update - update % 5 + 1)
    whole, resumed = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_another_seed_gives_other_weights(small_data, tmp_path, miniature):
    for seed in (0, 1):
        train([small_data], tmp_path / str(seed), miniature, seed=seed)
    first, second = weights_of(tmp_path / "0"), weights_of(tmp_path / "1")
    assert not torch.equal(first["fusion.0.weight"], second["fusion.0.weight"])


def test_a_snapshot_of_another_run_is_refused(small_data, tmp_path, miniature):
    train([small_data], tmp_path, miniature, seed=0)
    with pytest.raises(SdiwmError, match="another seed"):
        train([small_data], tmp_path, miniature, seed=1)


def test_a_full_disk_is_an_error_of_the_system_and_keeps_the_last_snapshot(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    model, optimiser = torch.nn.Linear(1, 1), torch.optim.AdamW([torch.zeros(1)])
    save_snapshot(tmp_path, model, model, optimiser, Position(1, 1), {})
    before = (tmp_path / FILE).read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_snapshot(tmp_path, model, model, optimiser, Position(1, 2), {})
    assert (tmp_path / FILE).read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / FILE]


@pytest.mark.parametrize("metadata", [{"format_version": "0"}, None])
def test_a_snapshot_of_another_version_is_refused(small_data, tmp_path, miniature, metadata):
    tensors = {"model.x": torch.zeros(1)}
    save_file(tensors, tmp_path / "checkpoint.safetensors", metadata=metadata)
    with pytest.raises(SdiwmError, match="checkpoint.safetensors: format_version is .*anew"):
        train([small_data], tmp_path, miniature, seed=0)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_snapshot(
    small_data, tmp_path, miniature, monkeypatch
):
    original = stages.WorldStage.loss

    def poisoned(self, step, generator):
        loss = original(self, step, generator)
        return stages.Loss(loss.total * float("nan"), loss.parts) if step == 8 else loss

    monkeypatch.setattr(stages.WorldStage, "loss", poisoned)
    with pytest.raises(SdiwmError, match="stage world became nan at step 8"):
        train([small_data], tmp_path, miniature, seed=0)
    assert (tmp_path / "checkpoint.safetensors").is_file()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("horizons=3", "unknown setting"),
        ("horizon=many", "'horizon' is 'many': use a whole number"),
        ("size=huge", "unknown model size 'huge'"),
        ("world_batch=0", "'world_batch'"),
        ("drift_weight=-1", "'drift_weight'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting, said):
    with pytest.raises(SdiwmError, match=said):
        configure([setting])


def test_rollouts_longer_than_the_episodes_are_refused(small_data, tmp_path):
    config = configure(["size=miniature", "language_steps=0", "long_horizon=29"])
    with pytest.raises(SdiwmError, match="at most 28"):
        train([small_data], tmp_path / "run", config, seed=0)
    assert not (tmp_path / "run").exists()
