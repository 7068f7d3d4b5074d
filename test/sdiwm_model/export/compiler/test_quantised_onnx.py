"""A model that onnxruntime has quantised (QDQ): its scales are kept, its integers nearly so."""

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler import integers
from sdiwm_model.export.compiler.export import compile_onnx
from sdiwm_model.runtime.session import open_session


class Examples(CalibrationDataReader):
    def __init__(self, count):
        rng = np.random.default_rng(0)
        shape = (1, 4, 14, 12)
        self.left = [{"image": rng.uniform(-1, 1, shape).astype(np.float32)} for _ in range(count)]

    def get_next(self):
        return self.left.pop() if self.left else None


def float_network(n):
    x = n.input("image", [1, 4, 14, 12])
    x = n.add("Relu", n.convolution(x, 4, 8, strides=[2, 2], pads=[1, 1, 1, 1]))
    y = n.convolution(x, 8, 8, group=8, pads=[1, 1, 1, 1])
    x = n.add("Add", x, n.add("Sigmoid", y))
    x = n.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = n.add("Concat", x, n.convolution(x, 8, 4, kernel=1), axis=1)
    maps = n.convolution(x, 12, 6, pads=[1, 1, 1, 1])
    return [maps, n.dense(n.add("Flatten", maps), 6 * 3 * 3, 5)]


@pytest.fixture
def float_path(network, tmp_path):
    made = network(3)
    return made.save(tmp_path / "float.onnx", *float_network(made))


@pytest.fixture(params=[QuantType.QUInt8, QuantType.QInt8], ids=["uint8", "int8"])
def path(request, float_path, tmp_path):
    prepared, quantised = tmp_path / "prepared.onnx", tmp_path / "quantised.onnx"
    quant_pre_process(float_path, prepared)
    quantize_static(
        prepared, quantised, Examples(20), per_channel=True, activation_type=request.param
    )
    return quantised


def test_results_differ_from_onnxruntime_by_at_most_two_steps(path):
    layout, ranges = compile_onnx(path)
    program, session = layout.program, open_session(path)
    image = program.tensors["image"]
    names = dict(zip((o.name for o in session.get_outputs()), program.outputs, strict=True))
    different, reader = [], Examples(20)
    while (feed := reader.get_next()) is not None:
        x = feed["image"][0].transpose(1, 2, 0)
        given = np.clip(np.rint(x / image.scale + image.zero), -128, 127)
        values = integers.run(program, {"image": given})
        for (_, value), expected in zip(names.items(), session.run(None, feed), strict=True):
            tensor = program.tensors[value]
            y = (values[value] - tensor.zero) * tensor.scale
            wanted = expected[0].transpose(1, 2, 0) if expected.ndim == 4 else expected
            low, high = ranges.values[value]
            different.append((y - wanted.reshape(y.shape)).ravel() / ((high - low) / 255))
    steps = np.abs(np.concatenate(different))
    assert steps.max() <= 2.01
    assert steps.mean() < 0.5


def test_the_files_scales_are_those_of_the_tensors(path):
    layout, _ = compile_onnx(path)
    image = layout.program.tensors["image"]
    assert 255 * image.scale == pytest.approx(2.0, rel=0.02)  # examples lie within -1 ... 1


def test_a_float_network_without_calibration_is_refused(float_path):
    with pytest.raises(SdiwmError, match="'image': give --calibration"):
        compile_onnx(float_path)
