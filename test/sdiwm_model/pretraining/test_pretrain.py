"""`sdiwm pretrain` from episodes to an encoder, exactly again after a stop, and its refusals."""

import json

import pytest
import torch

from sdiwm_model.cli import main
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.encoder_file import load_encoder
from sdiwm_model.pretraining.metrics import LINES
from sdiwm_model.pretraining.settings import DEFAULT, configure
from sdiwm_model.pretraining.update import Updater
from sdiwm_model.share import share_file

TINY = [
    "size=miniature", "size_changes={}", "frames=3", "every=2", "hidden=0.5",
    "anti_collapse_weight=1", "predictor_width=16", "predictor_depth=1", "predictor_heads=2",
    "momentum=0.3", "updates=6", "effective_batch=4", "micro_batch=2", "save_every=2",
]  # fmt: skip


class KilledError(Exception):
    """Stands for SIGKILL at a chosen update."""


def pretrain(data, out, *settings, seed="3"):
    arguments = ["--data", str(data), "--out", str(out), "--seed", seed]
    return main(["pretrain", *arguments, "--set", *TINY, *settings])


def test_a_stopped_run_goes_on_to_the_same_encoder(small_data, tmp_path, monkeypatch, capsys):
    assert pretrain(small_data, tmp_path / "whole") == 0
    assert "effective rank" in capsys.readouterr().out
    update = Updater.update

    def killed(self, number, batches):
        if number == 3:
            raise KilledError
        return update(self, number, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Updater, "update", killed)
        with pytest.raises(KilledError):
            pretrain(small_data, tmp_path / "broken")
    assert pretrain(small_data, tmp_path / "broken") == 0
    whole, broken = (load_encoder(tmp_path / name) for name in ("whole", "broken"))
    assert all(torch.equal(broken.weights[k], whole.weights[k]) for k in whole.weights)
    assert broken.provenance["effective_rank"] == whole.provenance["effective_rank"] > 1
    lines = (tmp_path / "whole" / LINES).read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == list(range(6))


def test_a_vision_transformer_is_trained_and_only_what_video_trains_is_kept(small_data, tmp_path):
    assert pretrain(small_data, tmp_path, "size=miniature_teacher", "anti_collapse_weight=0") == 0
    names = load_encoder(tmp_path).weights
    assert "blocks.0.mlp.0.weight" in names
    assert not any(name.startswith(("score.", "value.")) for name in names)


def test_another_seed_gives_another_encoder_and_a_finished_folder_stays(
    small_data, tmp_path, capsys
):
    for seed in ("0", "1"):
        assert pretrain(small_data, tmp_path / seed, "updates=1", "momentum=0", seed=seed) == 0
    first, second = (load_encoder(tmp_path / seed).model_hash for seed in ("0", "1"))
    assert first != second
    assert pretrain(small_data, tmp_path / "0", "updates=1", "momentum=0", seed="0") == 2
    assert "already holds a pre-trained encoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("update=3", "did you mean 'updates'"),
        ("updates=many", "'updates' is 'many'"),
        ("frames=40", "has 79 frames"),
        ("momentum=0.99", "97% of the target would still be the random weights"),
        ("past=0.01", "'past' is 0.01"),
        ("effective_batch=3", "multiple of 'micro_batch'"),
        ("size=nobody", "unknown model size 'nobody'"),
        ("size_changes={keypoint: 3}", "did you mean 'keypoints'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    small_data, tmp_path, capsys, setting, named
):
    assert pretrain(small_data, tmp_path / "run", setting) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("name", ["default.yaml", "student.yaml"])
def test_every_shipped_configuration_can_be_read_and_written(name, tmp_path):
    config = configure(file=share_file(DEFAULT).with_name(name))
    config.write(tmp_path / "config.yaml")
    assert configure(file=tmp_path / "config.yaml") == config


def test_a_missing_configuration_is_named(tmp_path):
    with pytest.raises(SdiwmError, match="is no configuration"):
        configure(file=tmp_path / "nobody.yaml")
