"""A pre-trained encoder arrives whole in robot training, or is refused by name."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from sdiwm_model.checkpoint import load_model, read_manifest
from sdiwm_model.encoder import image_encoder
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.encoder_file import (
    MANIFEST,
    WEIGHTS,
    is_pretrained,
    load_encoder,
    save_encoder,
)
from sdiwm_model.sizes import find_size
from sdiwm_model.training.config import configure
from sdiwm_model.training.run import train


@pytest.fixture
def saved(tmp_path):
    """Writes random weights of the named size's encoder; returns folder and weights."""

    def save(name, **changes):
        torch.manual_seed(1)
        size = replace(find_size(name), **changes)
        vision = image_encoder(size)
        with torch.no_grad():
            for parameter in vision.parameters():
                parameter += 0.1
        folder = tmp_path / "pretrained"
        save_encoder(folder, vision.state_dict(), size, {"command": "sdiwm pretrain"})
        return folder, vision.state_dict()

    return save


def test_robot_training_starts_from_it_and_says_so(small_data, saved, tmp_path, miniature):
    folder, weights = saved("miniature")
    assert is_pretrained(folder)
    config = replace(miniature, vision_steps=0)
    train([small_data], tmp_path / "run", config, seed=0, vision=folder)
    model, manifest = load_model(tmp_path / "run")
    assert all(torch.equal(t, weights[name]) for name, t in model.vision.state_dict().items())
    assert manifest.provenance["vision"] == {"command": "sdiwm pretrain"}
    assert (model.fusion.proprio_std != 1).all()  # the joints of the data, as in any new model


def test_only_the_image_branch_differs_from_a_run_without_it(
    small_data, saved, tmp_path, miniature
):
    folder, _ = saved("miniature")
    started = {}

    def stop(stage, done):
        raise KeyboardInterrupt

    for name, vision in (("with", folder), ("without", None)):
        config = replace(miniature, vision_learning_rate=0.0, save_every=1)
        with pytest.raises(KeyboardInterrupt):
            train([small_data], tmp_path / name, config, 0, vision=vision, after_update=stop)
        started[name] = load_file(tmp_path / name / "checkpoint.safetensors")
    same = {
        name: torch.equal(tensor, started["without"][name])
        for name, tensor in started["with"].items()
        if name.startswith("model.")
    }
    assert {name.split(".")[1] for name in same if not same[name]} == {"vision"}


def test_a_transformer_serves_every_camera_and_keeps_new_readers(saved):
    folder, weights = saved("miniature_teacher")
    torch.manual_seed(2)
    vision = image_encoder(replace(find_size("miniature_teacher"), cameras=2))
    score = vision.score.weight.clone()
    load_encoder(folder).put_into(vision)
    assert torch.equal(vision.cameras, weights["cameras"].expand(2, -1))
    assert torch.equal(vision.blocks[0].norm1.weight, weights["blocks.0.norm1.weight"])
    assert torch.equal(vision.score.weight, score)


def test_every_camera_of_a_convolutional_encoder_gets_the_same_weights(saved):
    folder, weights = saved("miniature")
    vision = image_encoder(replace(find_size("miniature"), cameras=2))
    load_encoder(folder).put_into(vision)
    assert all(torch.equal(each.conv1.weight, weights["conv1.weight"]) for each in vision)


def test_other_widths_are_refused_before_training_and_other_pictures_are_not(
    small_data, saved, tmp_path, miniature
):
    folder, _ = saved("miniature", channels=(8, 8), image_size=96)
    with pytest.raises(SdiwmError, match=r"'size.channels' is \(4, 4\).*pre-trained with \(8, 8\)"):
        train([small_data], tmp_path / "run", miniature, seed=0, vision=folder)
    assert not (tmp_path / "run").exists()
    fitting = configure(["size=miniature", "size.channels=[8,8]", *short()])
    train([small_data], tmp_path / "run", fitting, seed=0, vision=folder)
    assert read_manifest(tmp_path / "run").sizes.image_size == 64


def short():
    return ["language_steps=0", "vision_steps=1", "world_steps=1", "horizon=2", "long_horizon=2"]


@pytest.mark.parametrize("file", [MANIFEST, WEIGHTS])
def test_a_flipped_byte_is_named(saved, file):
    folder, _ = saved("miniature")
    path = folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(SdiwmError, match=file):
        load_encoder(folder)
