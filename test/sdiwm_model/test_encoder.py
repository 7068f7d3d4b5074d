"""From the pictures of several cameras, now and before, to a latent."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sdiwm_model.checkpoint import WEIGHTS, read_manifest
from sdiwm_model.encoder import Fusion, image_encoder
from sdiwm_model.runtime.session import open_session
from sdiwm_model.shipped import bundle_folder
from sdiwm_model.sizes import find_size

NAMES = ["miniature", "student_mobilenet_64", "miniature_teacher"]


def pictures(count, size, seed=0):
    shape = (count, size.image_size, size.image_size, 3 * size.cameras)
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=draw).to(torch.uint8)


@pytest.fixture(params=NAMES)
def size(request):
    torch.manual_seed(0)
    return find_size(request.param)


@pytest.mark.parametrize("cameras", [1, 3])
def test_features_are_bounded_repeatable_and_free_of_the_rest_of_the_batch(size, cameras):
    size = replace(size, cameras=cameras)
    encoder = image_encoder(size)
    image = pictures(3, size)
    features = encoder(image)
    assert features.shape == (3, size.features)
    assert features.dtype == torch.float32
    assert features.abs().max() <= 1
    assert torch.equal(features, encoder(image))
    assert torch.allclose(encoder.eval()(image[1:2]), features[1:2], atol=1e-5)


def test_a_camera_is_seen_in_its_own_features_only(size):
    size = replace(size, cameras=3)
    encoder = image_encoder(size)
    image = pictures(1, size)
    changed = image.clone()
    changed[..., 3:6] = pictures(1, replace(size, cameras=1), seed=1)
    moved = (encoder(image) != encoder(changed)).reshape(3, -1).any(dim=1)
    assert moved.tolist() == [False, True, False]


def test_cameras_that_see_the_same_are_told_apart(size):
    size = replace(size, cameras=2)
    image = pictures(1, replace(size, cameras=1)).repeat(1, 1, 1, 2)
    left, right = image_encoder(size)(image).reshape(2, -1)
    assert not torch.allclose(left, right, atol=1e-4)


def test_training_moves_every_weight(size):
    """A residual branch that starts at zero passes gradients on once it has moved."""
    size = replace(size, cameras=2)
    encoder = image_encoder(size)
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    for seed in range(3):
        optimiser.zero_grad()
        target = torch.linspace(-1, 1, size.features)
        (encoder(pictures(4, size, seed)) - target).square().sum().backward()
        optimiser.step()
    still = [name for name, p in encoder.named_parameters() if torch.equal(p, before[name])]
    # A softmax does not see what is added to all of its inputs.
    assert [name for name in still if not name.endswith(("maps.bias", "score.bias"))] == []


def test_the_shipped_weights_see_what_their_graph_sees():
    bundle = bundle_folder(None, "reach")
    size = read_manifest(bundle).sizes
    encoder = image_encoder(size)
    weights = load_file(bundle / WEIGHTS)
    encoder.load_state_dict({n: weights[f"vision.{n}"] for n in encoder.state_dict()})
    session = open_session(bundle / "vision.onnx")
    for image in pictures(3, size).split(1):
        expected = session.run(["features"], {"image": image.numpy()})[0]
        np.testing.assert_allclose(encoder(image).detach().numpy(), expected, atol=1e-5)


def test_one_camera_keeps_the_plain_names_of_its_layers():
    layers = [
        f"{layer}.{part}" for layer in ("conv1", "conv2", "maps") for part in ("weight", "bias")
    ]
    assert list(image_encoder(find_size("student_64")).state_dict()) == layers


def test_a_latent_is_made_of_all_frames_and_works_without_joints():
    size = replace(find_size("miniature"), frames=3, cameras=2, proprio=0)
    fusion = Fusion(size)
    features = torch.zeros(2, 3 * size.features, requires_grad=True)
    z = fusion(features, torch.zeros(2, 0))
    assert z.shape == (2, size.latent)
    z.sum().backward()
    assert (features.grad.reshape(2, 3, -1).abs().sum(dim=-1) > 0).all()
