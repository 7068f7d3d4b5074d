"""A picture is drawn from keypoints, and only where they are."""

import numpy as np
import torch

from sdiwm_model.sizes import SIZES
from sdiwm_model.training.config import configure
from sdiwm_model.training.drawing import Drawing, grey
from sdiwm_model.training.run import train

SIZE = SIZES["miniature"]


def test_a_keypoint_changes_the_drawing_where_it_is_and_nowhere_else():
    torch.manual_seed(0)
    drawing = Drawing(SIZE)
    left = torch.full((1, SIZE.keypoints, 2), -0.5)
    lower = left.clone()
    lower[0, 0, 1] = -0.25  # the first keypoint a little down
    with torch.no_grad():
        changed = (drawing(lower.flatten(1)) - drawing(left.flatten(1)))[0].abs()
    edge = SIZE.image_size // 2
    assert changed.shape == (edge, edge)
    assert changed[:, : edge // 2].max() > 1e-3
    assert changed[:, edge // 2 :].max() < 1e-6


def test_a_grey_picture_is_half_as_large_and_from_black_to_white():
    picture = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    picture[:, :, 4:] = 255
    assert torch.equal(grey(picture)[0, 0], torch.tensor([-1.0, -1.0, 1.0, 1.0]))


def test_training_learns_to_draw(small_data, tmp_path, scalars):
    settings = ["picture_weight=1", "vision_steps=121", "vision_batch=16", "world_steps=2"]
    short = ["size=miniature", "language_steps=0", "horizon=4", "long_horizon=4", "world_batch=4"]
    train([small_data], tmp_path, configure(settings + short), seed=0)
    errors = [v for (name, _), v in sorted(scalars(tmp_path).items()) if name == "vision/picture"]
    assert errors[-1] < errors[0] - np.log(2)
