"""A world-action model is trained, survives being killed, and refuses what contradicts itself."""

from dataclasses import replace

import pytest
import torch

from sdiwm_model.checkpoint import load_model, read_manifest
from sdiwm_model.cli import main
from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import find_size
from sdiwm_model.wam.checkpoint import FOLDER, load_wam
from sdiwm_model.wam.experience import load_demonstrations
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.settings import configure
from sdiwm_model.wam.training import learning_rate, scale, train_wam, wam_loss

SMALL = [
    "size=miniature", "size_changes={}", "updates=12", "sequences=2", "chunks=3", "save_every=5",
]  # fmt: skip


class KilledError(Exception):
    """Stands for SIGKILL at a chosen update."""


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def trained(bundle, data, out, seed=3, settings=(), **more):
    return train_wam(bundle, [data], out, configure([*SMALL, *settings]), seed, **more)


def test_the_command_writes_a_model_that_the_bundle_takes(
    random_bundle, demonstrations, tmp_path, capsys
):
    out = tmp_path / "run"
    where = ["--bundle", str(random_bundle), "--data", str(demonstrations), "--out", str(out)]
    assert main(["wam", *where, "--set", *SMALL, "--seed", "4"]) == 0
    assert "wrote" in capsys.readouterr().out
    _, manifest = load_wam(out, read_manifest(random_bundle))
    assert manifest.provenance["seed"] == 4
    assert manifest.provenance["data"][0]["mixture"] == {"demonstration": 0.6, "random": 0.4}


def test_a_killed_run_goes_on_to_the_same_weights(random_bundle, demonstrations, tmp_path):
    def kill(done):
        if done == 7:
            raise KilledError

    whole = trained(random_bundle, demonstrations, tmp_path / "whole")
    with pytest.raises(KilledError):
        trained(random_bundle, demonstrations, tmp_path / "broken", after_update=kill)
    assert not (tmp_path / "broken" / FOLDER).exists()
    seen = []
    again = trained(random_bundle, demonstrations, tmp_path / "broken", after_update=seen.append)
    assert seen == list(range(6, 13))
    wanted, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_training_lowers_both_errors(random_bundle, demonstrations):
    world, manifest = load_model(random_bundle)
    data = load_demonstrations([demonstrations], world)
    config = configure([*SMALL, "draw.clean_video=0", "draw.noise_video=0", "sequences=6"])
    torch.manual_seed(0)
    model = WorldActionModel(config.size_on(manifest.sizes))
    scale(model, data)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for number in range(50):
        loss = wam_loss(model, data, config, torch.Generator().manual_seed(number))
        losses.append([loss.video.item(), loss.action.item()])
        optimiser.zero_grad()
        (loss.video + loss.action).backward()
        optimiser.step()
    first, last = torch.tensor(losses[:10]).mean(dim=0), torch.tensor(losses[-10:]).mean(dim=0)
    assert (last < 0.9 * first).all()


def test_the_rate_warms_up_and_falls_to_nothing():
    config = configure(["updates=100", "learning_rate=1.0"])
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[4] == 1.0
    assert 0.0 < rates[-1] < 1e-3


@pytest.mark.parametrize(
    ("settings", "seed", "said"),
    [(["video_weight=0.5"], 3, "another configuration"), ([], 4, "another seed")],
)
def test_a_snapshot_of_another_run_is_refused(
    random_bundle, demonstrations, tmp_path, settings, seed, said
):
    trained(random_bundle, demonstrations, tmp_path)
    with pytest.raises(SdiwmError, match=said):
        trained(random_bundle, demonstrations, tmp_path, seed, settings)


def test_data_of_another_task_is_refused_before_anything_is_written(
    random_bundle, demonstrations, tmp_path, monkeypatch
):
    model, manifest = load_model(random_bundle)
    of_push = model, replace(manifest, task="push")
    monkeypatch.setattr("sdiwm_model.wam.training.load_model", lambda folder: of_push)
    with pytest.raises(SdiwmError, match=r"name is 'reach', that of the bundle .* is 'push'"):
        trained(random_bundle, demonstrations, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("updates=0", "setting 'updates' is 0: use 1"),
        ("draw.prefix=2", "setting 'draw.prefix' is 2.0: use 0 to 1"),
        ("draw.clean_video=0.9", "above 1 together"),
        ("upd=3", "did you mean 'updates'"),
        ("size.chunk=three", "field 'chunk' is 'three'"),
        ("draw=1", "setting 'draw' is 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, said):
    with pytest.raises(SdiwmError, match=said):
        configure([setting, "draw.noise_video=0.2"]).size_on(find_size("reach_student"))
