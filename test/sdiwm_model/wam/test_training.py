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
from sdiwm_model.wam.optimise import learning_rate
from sdiwm_model.wam.settings import configure
from sdiwm_model.wam.stages import wam_loss
from sdiwm_model.wam.training import scale, train_wam

SMALL = [
    "size=miniature", "size_changes={}", "anchor_updates=3", "anchor_chunks=6", "updates=12",
    "sequences=2", "chunks=3", "save_every=5",
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


@pytest.mark.parametrize(("killed_after", "first_again"), [(2, 1), (3, 4), (10, 9)])
def test_a_killed_run_goes_on_to_the_same_weights(
    random_bundle, demonstrations, tmp_path, killed_after, first_again
):
    def kill(done):
        if done == killed_after:
            raise KilledError

    whole = trained(random_bundle, demonstrations, tmp_path / "whole")
    with pytest.raises(KilledError):
        trained(random_bundle, demonstrations, tmp_path / "broken", after_update=kill)
    assert not (tmp_path / "broken" / FOLDER).exists()
    seen = []
    again = trained(random_bundle, demonstrations, tmp_path / "broken", after_update=seen.append)
    assert seen == list(range(first_again, 16))
    wanted, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("killed_after", [15, 18])
def test_a_run_killed_on_its_way_to_few_steps_goes_on_to_the_same_weights(
    random_bundle, demonstrations, tmp_path, killed_after
):
    def kill(done):
        if done == killed_after:
            raise KilledError

    few = ["few_step_updates=6", "save_every=2"]
    whole = trained(random_bundle, demonstrations, tmp_path / "whole", settings=few)
    broken = tmp_path / "broken"
    with pytest.raises(KilledError):
        trained(random_bundle, demonstrations, broken, settings=few, after_update=kill)
    again = trained(random_bundle, demonstrations, broken, settings=few)
    wanted, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert load_wam(broken, read_manifest(random_bundle))[1].one_step


def test_few_steps_are_learned_by_the_action_expert_and_the_ranker_alone(
    random_bundle, demonstrations, tmp_path
):
    plain = weights_of(trained(random_bundle, demonstrations, tmp_path / "plain"))
    few = trained(random_bundle, demonstrations, tmp_path / "few", settings=["few_step_updates=3"])
    changed = {n.split(".")[0] for n, w in weights_of(few).items() if not torch.equal(w, plain[n])}
    assert changed == {"action_expert", "actions", "ranker"}
    assert not load_wam(tmp_path / "plain", read_manifest(random_bundle))[1].one_step


def test_a_student_learns_from_a_larger_teacher_of_the_same_data(
    random_bundle, demonstrations, tmp_path
):
    teacher, bundle = tmp_path / "teacher", random_bundle
    trained(bundle, demonstrations, teacher, settings=["size.depth=3", "size.video_width=24"])
    plain = weights_of(trained(bundle, demonstrations, tmp_path / "plain"))
    taught = trained(bundle, demonstrations, tmp_path / "taught", teacher=teacher)
    assert any(not torch.equal(w, plain[n]) for n, w in weights_of(taught).items())
    with pytest.raises(SdiwmError, match="another teacher"):
        trained(bundle, demonstrations, tmp_path / "taught", teacher=tmp_path / "plain")


def test_a_teacher_of_other_chunks_is_refused_before_anything_is_written(
    random_bundle, demonstrations, tmp_path
):
    trained(random_bundle, demonstrations, tmp_path / "teacher", settings=["size.chunk=6"])
    with pytest.raises(SdiwmError, match="the teacher's chunk is 6, the student's 8"):
        trained(random_bundle, demonstrations, tmp_path / "run", teacher=tmp_path / "teacher")
    assert not (tmp_path / "run").exists()


def test_the_first_stage_trains_the_anchor_alone(random_bundle, demonstrations, tmp_path):
    few = ["updates=1", "learning_rate=0"]
    none = weights_of(
        trained(random_bundle, demonstrations, tmp_path / "a", settings=[*few, "anchor_updates=0"])
    )
    some = weights_of(trained(random_bundle, demonstrations, tmp_path / "b", settings=few))
    changed = {n.split(".")[0] for n, w in some.items() if not torch.equal(w, none[n])}
    assert changed == {"anchor"}


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
        losses.append([loss.parts["video"].item(), loss.parts["action"].item()])
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    first, last = torch.tensor(losses[:10]).mean(dim=0), torch.tensor(losses[-10:]).mean(dim=0)
    assert (last < 0.9 * first).all()


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [learning_rate(1.0, 100, step) for step in range(100)]
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
