"""The same convolutions in TensorFlow Lite for Microcontrollers, where that is installed."""

from pathlib import Path

import pytest

import sdiwm_model
from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.networks import sample_program
from sdiwm_model.firmware.tflm import compare_with_tflm, write_tflite

VISION = Path(sdiwm_model.__file__).parent / "weights" / "reach" / "vision.onnx"
pytest.importorskip("tflite_micro")


def test_both_are_as_far_from_float_and_a_step_apart():
    found = compare_with_tflm(VISION, None, 0)
    assert found["arena_bytes"]["ours"] < found["arena_bytes"]["tflm"]
    assert found["steps_between"]["max"] <= 1
    for name in ("ours", "tflm"):
        assert found["steps_from_float"][name]["mean"] < 0.5


def test_what_tflm_does_not_get_is_refused():
    with pytest.raises(SdiwmError, match="TFLM"):
        write_tflite(sample_program("vector", 0))
