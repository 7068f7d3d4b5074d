"""What a control loop remembers of its pictures is what training saw of them."""

import numpy as np
import torch

from sdiwm_model.runtime.history import CHANGE, FeatureHistory
from sdiwm_model.training.batches import with_history


def test_the_newest_features_come_first_and_then_their_changes():
    history = FeatureHistory(3)
    history.add(np.array([0.0, 1.0], np.float32))
    history.add(np.array([0.1, 1.0], np.float32))
    seen = history.add(np.array([0.3, 0.5], np.float32))
    changes = CHANGE * np.array([0.2, -0.5, 0.3, -0.5])
    assert np.allclose(seen, [0.3, 0.5, *changes])


def test_training_sees_what_the_control_loop_sees():
    features = torch.rand(7, 4, generator=torch.Generator().manual_seed(0))
    history = FeatureHistory(3)
    driven = np.stack([history.add(row) for row in features.numpy()])
    trained = with_history(features, torch.arange(7), torch.zeros(7, dtype=torch.long), 3)
    assert np.array_equal(driven, trained.numpy())
