"""A teacher is trained by the same command as a student, and exported as far as it can be."""

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import export_bundle
from sdiwm_model.export.onnx import TOLERANCE
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.training.config import configure
from sdiwm_model.training.run import train


@pytest.fixture(scope="module")
def exported(small_data, tmp_path_factory):
    """The bundle of a tiny teacher that sees two frames, and its graphs' errors."""
    folder = tmp_path_factory.mktemp("teacher")
    settings = {
        "size": "miniature_teacher",
        "size.frames": 2,
        "language_steps": 0,
        "vision_steps": 3,
        "world_steps": 3,
        "vision_batch": 4,
        "world_batch": 4,
        "horizon": 4,
        "long_horizon": 10,
    }
    config = configure([f"{name}={value}" for name, value in settings.items()])
    train([small_data], folder / "run", config, seed=0)
    manifest, errors = export_bundle(folder / "run", folder / "bundle", seed=0)
    assert manifest.provenance["complexity"]["macs_per_frame"] > 500_000
    return folder / "bundle", errors


def test_a_trained_teachers_graphs_are_close_to_torch(exported):
    _, errors = exported
    assert {"vision", "fusion", "step", "heads"} <= set(errors)
    assert max(errors.values()) <= TOLERANCE


def test_a_teacher_plans_on_torch_and_on_onnx_alike(exported):
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(64, 64, 3), dtype=np.uint8)
    c = rng.uniform(-1, 1, 16).astype(np.float32)
    actions = rng.uniform(-1, 1, (5, 6, 4)).astype(np.float32)
    found = []
    for backend in ("torch", "onnx"):
        runtime = load_runtime(exported[0], backend)
        features = np.tile(runtime.encode_image(image), 2)
        z = runtime.fuse(features, np.zeros(8, np.float32))
        assert np.abs(z).max() <= 1
        found.append(runtime.dynamics.rollout_cost(z, actions, c))
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4)


def test_the_integer_engine_refuses_a_transformer_in_words(exported):
    with pytest.raises(SdiwmError, match="'native' runs a GRU, and this model's dynamics is a tra"):
        load_runtime(exported[0], "native")
