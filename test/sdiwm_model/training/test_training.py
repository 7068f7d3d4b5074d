"""A run trains, survives being killed, and refuses what contradicts itself."""

import re
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sdiwm_model.checkpoint import WEIGHTS, load_model, read_manifest
from sdiwm_model.cli import main
from sdiwm_model.errors import SdiwmError
from sdiwm_model.losses import places_loss
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
    made = {"model.safetensors", "step.onnx", "engine.safetensors", "encoder.safetensors"}
    assert made <= set(manifest.files)
    assert main(["run", "--task", "reach", "--model", str(bundle), "--backend", "onnx",
                 "--episodes", "1"]) == 0  # fmt: skip
    assert "of 1 succeeded" in capsys.readouterr().out


def test_training_lowers_the_cost_error(small_data, tmp_path, monkeypatch):
    costs = []
    settings = {"vision_steps": 150, "vision_batch": 32, "world_steps": 2, "world_batch": 4}
    short = {"size": "miniature", "language_steps": 0, "horizon": 4, "long_horizon": 4}
    config = configure([f"{name}={value}" for name, value in (settings | short).items()])

    def watched(*arguments):
        loss = places_loss(*arguments)
        costs.append(loss.item())
        return loss

    monkeypatch.setattr("sdiwm_model.training.stages.places_loss", watched)
    train([small_data], tmp_path, config, seed=0)
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


@pytest.mark.parametrize(
    ("changed", "learns", "as_before"),
    [
        ({"picture_weight": 1.0}, "vision.", "language."),
        ({"precise_scene": True}, "dynamics.", "vision."),
    ],
)
def test_drawn_pictures_teach_the_image_branch_and_precise_scenes_the_dynamics(
    small_data, tmp_path, miniature, changed, learns, as_before
):
    train([small_data], tmp_path / "plain", miniature, seed=0)
    train([small_data], tmp_path / "changed", replace(miniature, **changed), seed=0)
    plain, other = weights_of(tmp_path / "plain"), weights_of(tmp_path / "changed")
    assert all(torch.isfinite(each).all() for each in other.values())
    same = {name: torch.equal(plain[name], other[name]) for name in plain}
    assert all(same[name] for name in same if name.startswith(as_before))
    assert not all(same[name] for name in same if name.startswith(learns))


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


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_a_number_stops_and_a_lower_rate_goes_on_from_the_snapshot(
    small_data, tmp_path, miniature, monkeypatch, what
):
    original = stages.WorldStage.loss

    def poisoned(self, step, generator):
        loss = original(self, step, generator)
        if step != 8:
            return loss
        if what == "loss":
            return stages.Loss(loss.total * float("nan"), loss.parts)
        loss.total.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    monkeypatch.setattr(stages.WorldStage, "loss", poisoned)
    said = f"the {what} of stage world became .* at step 8; .*{FILE} holds the last good weights"
    with pytest.raises(SdiwmError, match=said):
        train([small_data], tmp_path, miniature, seed=0)
    monkeypatch.setattr(stages.WorldStage, "loss", original)
    lower = replace(miniature, world_learning_rate=1e-4)
    updates = []
    train([small_data], tmp_path, lower, seed=0, after_update=lambda *at: updates.append(at))
    assert updates[0] == ("world", 6)
    assert all(tensor.isfinite().all() for tensor in weights_of(tmp_path).values())
    assert configure(file=tmp_path / "config.yaml") == lower
    told = read_manifest(tmp_path).provenance
    assert told["configuration"] == asdict(lower)
    assert told["earlier configurations"] == [asdict(miniature)]


def test_a_run_that_was_killed_from_outside_goes_on_to_the_same_losses_and_weights(
    small_data, tmp_path, miniature_settings, scalars
):
    settings = [*miniature_settings, "language_steps=0", "world_steps=300"]
    arguments = ["train", "--data", str(small_data), "--seed", "5", "--set", *settings, "--out"]
    run = "import sys; from sdiwm_model.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", run, *arguments, str(tmp_path / "killed")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        while not re.search(r"world: .* (2\d|[3-9]\d|1\d\d)/300", said):
            heard = process.stderr.read(1)
            assert heard, said
            said += heard
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    for folder in ("killed", "whole"):
        assert main([*arguments, str(tmp_path / folder)]) == 0
    whole, resumed = weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert len(list((tmp_path / "killed" / "tensorboard").iterdir())) == 2
    assert scalars(tmp_path / "killed") == scalars(tmp_path / "whole")


def test_an_image_branch_may_be_taken_and_all_else_learned_anew(small_data, tmp_path, miniature):
    first = train([small_data], tmp_path / "first", miniature, seed=0)
    frozen = replace(miniature, vision_steps=0, size_changes={"dynamics": 64})
    second = train([small_data], tmp_path / "b", frozen, seed=1, vision=tmp_path / "first")
    taken, anew = first.state_dict(), second.state_dict()
    for name in ("vision.conv1.weight", "places.0.weight", "fusion.proprio_mean"):
        assert torch.equal(taken[name], anew[name]), name
    assert not torch.equal(taken["fusion.0.weight"], anew["fusion.0.weight"])
    with pytest.raises(SdiwmError, match=r"first has .4, 4.: set size.channels=\[4,4\]"):
        other = replace(frozen, size_changes={"channels": [8, 8]})
        train([small_data], tmp_path / "c", other, seed=1, vision=tmp_path / "first")
    with pytest.raises(SdiwmError, match="leave out --vision"):
        train([small_data], tmp_path / "c", frozen, 1, tmp_path / "first", tmp_path / "first")
    assert not (tmp_path / "c").exists()


def test_a_prior_may_be_added_to_trained_weights(small_data, tmp_path, miniature):
    train([small_data], tmp_path / "first", miniature, seed=0)
    changes = {"size_changes": {"prior": 16, "plan_horizon": 4}, "prior_plans": 3, "prior_steps": 4}
    later = replace(miniature, vision_steps=0, **changes)
    train([small_data], tmp_path / "second", later, seed=0, init=tmp_path / "first")
    first, second = weights_of(tmp_path / "first"), weights_of(tmp_path / "second")
    seen = [name for name in first if name.startswith("vision.")]
    assert seen
    assert all(torch.equal(first[name], second[name]) for name in seen)
    assert any(name.startswith("prior.") for name in second)
    updates = []  # as if killed while the prior was made: the snapshot before it is the last
    train([small_data], tmp_path / "second", later, seed=0, init=tmp_path / "first",
          after_update=lambda *at: updates.append(at))  # fmt: skip
    assert updates == []
    again = weights_of(tmp_path / "second")
    assert all(torch.equal(again[name], second[name]) for name in again)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "long_horizon=29"], "'long_horizon' is 29, .*: use at most 28"),
        (["--set", "size=student_96"], "'size.image_size' is 96, but the data has 64"),
        (["--set", "size.proprio=3"], "'size.proprio' is 3, but the data has 8"),
        (["--set", "vision_steps=0"], "'vision_steps' is 0"),
        (["--set", "prior_plans=5"], "'prior_plans' is 5"),
        (["--set", "horizons=5"], "unknown setting 'horizons'"),
        (["--config", "none.yaml"], "none.yaml is no configuration"),
        (["--init", "nowhere"], "no model bundle at nowhere"),
    ],
)
def test_what_contradicts_itself_or_the_data_is_refused_before_anything_is_written(
    small_data, tmp_path, miniature_settings, capsys, options, said
):
    out = tmp_path / "run"
    command = ["train", "--data", str(small_data), "--out", str(out), "--set", *miniature_settings]
    assert main([*command, *options]) == 2
    assert re.search(f"^sdiwm: error: .*{said}", capsys.readouterr().err)
    assert not out.exists()
