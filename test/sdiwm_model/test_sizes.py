"""The table of sizes: what fits a robot, what is standard, what contradicts itself."""

from dataclasses import replace

import pytest

from sdiwm_model.complexity import complexity
from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import SIZES, ModelSize, find_size

STUDENTS = [
    "reach_student",
    "student_64",
    "student_96",
    "student_mobilenet_64",
    "student_mobilenet_96",
]


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_encodes_a_frame_within_8_million_macs(name):
    counted = complexity(find_size(name))
    assert 1e6 < counted.macs_per_frame <= 8e6
    assert counted.parameters < 200_000


def test_the_macs_of_two_convolutions_and_a_fusion_are_those_counted_by_hand():
    convolutions = 32 * 32 * (27 * 16 + 144 * 16 + 16 * 32 + 2 * 32)
    fusion = 72 * 128 + 128 * 64 + 64 * 32
    assert complexity(ModelSize()).macs_per_frame == convolutions + fusion


def test_every_camera_costs_its_own_macs():
    one, three = (
        complexity(replace(ModelSize(), cameras=cameras)).macs_per_frame for cameras in (1, 3)
    )
    assert 2.9 * one < three < 3.1 * one


@pytest.mark.parametrize(
    ("name", "millions"),
    [("teacher_s", 22), ("teacher_b", 86), ("teacher_l", 304), ("teacher_h", 632)],
)
def test_the_teachers_encoders_have_the_published_parameters(name, millions):
    """Dosovitskiy et al. (2021), table 1; ViT-S: Steiner et al. (2022), table 1."""
    import torch

    from sdiwm_model.encoder import image_encoder

    for size in (find_size(name), replace(find_size(name), image_size=224, patch=16)):
        with torch.device("meta"):
            encoder = image_encoder(size)
        assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(
            millions * 1e6, rel=0.03
        )
    assert find_size(name).latent == 256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "resnet"}, "'encoder' is 'resnet': choose one of keypoints, mobilenet, vit"),
        ({"dynamics_kind": "lstm"}, "'dynamics_kind' is 'lstm': choose one of gru, transformer"),
        ({"latent": 30}, "'latent' is 30: use a multiple of 4"),
        ({"latent": "wide"}, "'latent' is 'wide': use a whole number of at least 1"),
        ({"keypoints": 0}, "'keypoints' is 0: use a whole number of at least 1"),
        ({"proprio": -1}, "'proprio' is -1: use a whole number of at least 0"),
        ({"frames": 4}, "'frames' is 4: use 1, 2 or 3"),
        ({"frames": 0}, "'frames' is 0"),
        ({"cameras": 0}, "'cameras' is 0"),
        ({"channels": (16,)}, r"'channels' is \(16,\): use two whole numbers above 0"),
        ({"image_size": 65}, "'image_size' is 65: use a multiple of 2"),
        ({"encoder": "mobilenet", "image_size": 66}, "'image_size' is 66: use a multiple of 4"),
        ({"encoder": "mobilenet", "channels": (2, 8)}, "'channels' is .* at least 4"),
        ({"encoder": "vit", "patch": 7}, "'image_size' is 64: use a multiple of 7"),
        ({"encoder": "vit", "vit_heads": 7}, "'vit_width' is 384: use a multiple of 'vit_heads'"),
        ({"encoder": "vit", "vit_features": 40}, "'vit_features' is 40: use a multiple of 16"),
        ({"dynamics_kind": "transformer", "dynamics_heads": 5}, "'dynamics' is 64: .*heads' = 5"),
        ({"dynamics_kind": "transformer", "dynamics_heads": 4, "lipschitz": 1.0}, "'lipschitz' is"),
        ({"lipschitz": -0.5}, "'lipschitz' is -0.5: use 0 for none, or a positive bound"),
        ({"lipschitz": float("nan")}, "'lipschitz' is nan"),
        ({"ensemble": 3}, "'head' is 64: use a multiple of 'ensemble' = 3"),
        ({"goals": 16}, "'conditioning' is 16: use a power of two above goals = 16"),
    ],
)
def test_a_size_that_contradicts_itself_is_refused_by_its_field(changes, said):
    with pytest.raises(SdiwmError, match=f"^model size field {said}"):
        replace(ModelSize(), **changes)


def test_every_named_size_can_see_without_proprioception_and_remember_three_frames():
    for name, size in SIZES.items():
        blind = replace(size, proprio=0, frames=3, cameras=2)
        if "teacher" not in name:
            assert blind.features == 4 * size.keypoints
        assert complexity(blind).macs_per_frame > complexity(size).macs_per_frame
