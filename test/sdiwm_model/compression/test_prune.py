"""A run becomes a smaller run, the same however often it was stopped."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from sdiwm_model.checkpoint import load_model, read_manifest, write_manifest
from sdiwm_model.compression.prune import PruneSettings, prune, pruned_size
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import read_calibration
from sdiwm_model.sizes import find_size
from sdiwm_model.training import finish
from sdiwm_model.training.config import configure
from sdiwm_model.training.run import train

SETTINGS = PruneSettings(ratio=0.5, rounds=2, vision_updates=3, world_updates=6, batches=2)
CHANGES = [
    "size=miniature",
    "size.channels=[8,8]",
    "size.lipschitz=1.1",
    "language_steps=0",
    "vision_steps=2",
    "world_steps=4",
    "vision_batch=8",
    "world_batch=8",
    "horizon=4",
    "long_horizon=8",
    "save_every=2",
    "prior_plans=0",
    "size.prior=0",
]


@pytest.fixture(scope="module", autouse=True)
def rough_probes():
    """Probes of a few updates: two thousand take longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "PROBE_STEPS", 5)
        yield


@pytest.fixture(scope="module")
def run(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "run"
    train([small_data], folder, configure(CHANGES), 0)
    return folder


@pytest.fixture(scope="module")
def pruned(run, small_data, tmp_path_factory):
    """The folder of an uninterrupted pruning, and what it returned."""
    folder = tmp_path_factory.mktemp("pruned") / "run"
    return folder, prune(run, [small_data], folder, SETTINGS, 0)


def test_every_width_is_halved_in_a_run_like_any_other(run, pruned):
    folder, about = pruned
    model, manifest = load_model(folder)
    before = read_manifest(run).sizes
    assert model.size == pruned_size(before, 0.5)
    assert model.size.channels == (4, 4)
    for name in ("latent", "dynamics", "head", "keypoints"):
        assert getattr(model.size, name) == getattr(before, name) // 2, name
    assert read_calibration(folder)[0].latents.shape[1] == model.size.latent
    assert manifest.text_encoder == read_manifest(run).text_encoder
    assert about["before"]["parameters"] > about["after"]["parameters"]
    assert about["before"]["macs_per_frame"] > about["after"]["macs_per_frame"]
    assert about["after"]["macs_per_model_step"] == model.size.macs_per_model_step


def test_the_manifest_tells_what_was_done_to_which_model(run, pruned):
    folder, about = pruned
    before, after = read_manifest(run), read_manifest(folder)
    assert after.provenance["prune"] == about
    assert about["of"] == before.model_hash
    assert about["settings"]["ratio"] == 0.5
    kept = [name for name in before.provenance if name not in ("complexity",)]
    assert all(after.provenance[name] == before.provenance[name] for name in kept)
    assert after.provenance["complexity"]["parameters"] == about["after"]["parameters"]


@pytest.mark.parametrize("stop", [("round 1: vision", 3), ("round 2: world", 5)])
def test_a_stopped_pruning_ends_where_an_uninterrupted_one_does(
    stop, run, pruned, small_data, tmp_path
):
    def stopping(stage, done):
        if (stage, done) == stop:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        prune(run, [small_data], out, SETTINGS, 0, stopping)
    prune(run, [small_data], out, SETTINGS, 0)
    ours, theirs = (load_file(each / "model.safetensors") for each in (out, pruned[0]))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_once_done_it_is_not_done_again_and_never_otherwise(run, pruned, small_data):
    folder, about = pruned

    def never(stage, done):
        raise AssertionError(stage)

    assert prune(run, [small_data], folder, SETTINGS, 0, never) == about
    with pytest.raises(SdiwmError, match="another settings"):
        prune(run, [small_data], folder, replace(SETTINGS, ratio=0.25), 0, never)
    with pytest.raises(SdiwmError, match="another seed"):
        prune(run, [small_data], folder, SETTINGS, 1, never)


def test_impossible_prunings_are_refused_before_any_work(run, small_data, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SdiwmError, match="none of the 8 units of 'channels.0'"):
        prune(run, [small_data], out, replace(SETTINGS, ratio=0.9), 0)
    with pytest.raises(SdiwmError, match="other than --model"):
        prune(run, [small_data], run, SETTINGS, 0)
    other = tmp_path / "push"
    other.mkdir()
    for name in ("model.safetensors", "calibration.safetensors"):
        (other / name).write_bytes((run / name).read_bytes())
    write_manifest(other, replace(read_manifest(run), task="push"))
    with pytest.raises(SdiwmError, match="task 'push'"):
        prune(other, [small_data], out, SETTINGS, 0)
    with pytest.raises(SdiwmError, match="'encoder' is 'vit'"):
        pruned_size(find_size("miniature_teacher"), 0.5)
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ratio": 1.0}, "'ratio' is 1.0: use 0 to below 1"),
        ({"ratio": float("nan")}, "'ratio' is nan"),
        ({"rounds": 0}, "'rounds' is 0: use >= 1"),
        ({"vision_updates": -1}, "'vision_updates' is -1"),
        ({"world_learning_rate": 0.0}, "'world_learning_rate' is 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(SdiwmError, match=words):
        PruneSettings(**changes)


def test_sizes_stay_whole_tiles_and_ensembles_whole():
    full = replace(find_size("full"), prior=64, ensemble=6, head=240)
    size = pruned_size(full, 0.7)
    assert (size.latent, size.dynamics, size.keypoints, size.prior) == (76, 76, 20, 20)
    assert size.channels == (8, 8)
    assert size.head == 72
    assert pruned_size(full, 0.0) == full
