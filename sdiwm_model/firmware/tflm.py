"""The convolutions of an image encoder beside TensorFlow Lite for Microcontrollers.

The interpreter comes from PyPI, `pip install --pre tflite-micro`, and brings the schema with which
the same integers are written as a .tflite file. It runs on this machine, where a pointer takes
eight bytes: its arena on a chip is a little smaller.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import rounding
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.calibrate import calibrate
from sdiwm_model.export.compiler.examples import load_examples
from sdiwm_model.export.compiler.float_reference import evaluate
from sdiwm_model.export.compiler.graph import Graph, SpatialSoftmax
from sdiwm_model.export.compiler.host import HostNetwork
from sdiwm_model.export.compiler.layout import layout
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.operators import Convolution, Depthwise, Program, Tensor
from sdiwm_model.export.compiler.quantise import quantise
from sdiwm_model.export.compiler.rewrite import simplify

REMEDY = "the interpreter is not installed: `pip install --pre tflite-micro`"
PICTURES = 16  # compared
ARENA = 1 << 20  # more than any encoder of ours needs


def is_installed() -> bool:
    """Whether the interpreter can be imported."""
    return importlib.util.find_spec("tflite_micro") is not None


def compare_with_tflm(onnx: Path, examples: Path | None, seed: int) -> dict[str, Any]:
    """Arena and outputs of the convolutions before the keypoints of `onnx`, ours and TFLM's.

    Args:
        examples: pictures of its task (`load_examples`); random ones without.

    Returns:
        arena_bytes {ours, tflm}; differences in steps of the int8 output, {max, mean}: between the
        two, and of each from the float network.
    """
    graph = import_onnx(onnx)
    simplify(graph)
    maps = _cut(graph)
    pictures = _pictures(graph, examples, seed)
    program = quantise(graph, calibrate(graph, {graph.inputs[0].name: pictures}))
    plan = layout(program, ram=None)
    ours, interpreter = HostNetwork(plan), _Interpreter(write_tflite(program))
    tensor, picture = program.tensors[maps], program.inputs[0]
    rows: dict[str, list[NDArray[np.float64]]] = {"between": [], "ours": [], "tflm": []}
    for image in pictures[:PICTURES]:
        a = ours({picture: image})[maps]
        b = interpreter.run((image.astype(np.int64) - 128).astype(np.int8))
        exact = evaluate(graph, {picture: image})[maps] / tensor.scale + tensor.zero
        rows["between"].append((a - b).astype(np.float64))
        rows["ours"].append(a - exact)
        rows["tflm"].append(b - exact)
    found = {name: _steps(np.stack(x)) for name, x in rows.items()}
    return {
        "network": f"{onnx.name}, up to the keypoints' maps",
        "pictures": len(rows["ours"]),
        "arena_bytes": {"ours": plan.peak, "tflm": interpreter.arena_bytes},
        "steps_between": found["between"],
        "steps_from_float": {"ours": found["ours"], "tflm": found["tflm"]},
    }


def _steps(differences: NDArray[np.float64]) -> dict[str, float]:
    return {"max": float(np.abs(differences).max()), "mean": float(np.abs(differences).mean())}


def _cut(graph: Graph) -> str:
    """Leave only what makes the maps of the spatial softmax; returns their name."""
    last = next((n for n in graph.nodes if isinstance(n, SpatialSoftmax)), None)
    if last is None or len(graph.inputs) != 1 or not graph.inputs[0].is_bytes:
        raise SdiwmError(f"'{graph.name}' is no picture that becomes keypoints")
    graph.nodes = graph.nodes[: graph.nodes.index(last)]
    graph.outputs = graph.output_names = [last.input]
    return last.input


def _pictures(graph: Graph, examples: Path | None, seed: int) -> NDArray[np.uint8]:
    name = graph.inputs[0].name
    if examples is not None:
        return np.asarray(load_examples(examples, graph)[name], np.uint8)
    drawn = np.random.default_rng(seed).integers(0, 256, (PICTURES, *graph.shapes[name]))
    return drawn.astype(np.uint8)


def write_tflite(program: Program) -> bytes:
    """A program of convolutions as a .tflite file; SdiwmError for any other operator."""
    return _Writer(program).written()


class _Writer:
    def __init__(self, program: Program) -> None:
        from tflite_micro.tensorflow.lite.micro.python import (
            schema_py_generated as schema,
        )

        self.schema, self.program = schema, program
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = [self._code(k) for k in ("CONV_2D", "PAD")]
        self.model.subgraphs = [self.graph]
        self.graph.tensors, self.graph.operators = [], []
        self.indices: dict[str, int] = {}

    def written(self) -> bytes:
        import flatbuffers

        for c in self._convolutions():
            x = c.inputs[0]
            if x not in self.indices:
                self._activation(self.program.tensors[x], c.padding)
            self._convolution(c)
        self.graph.inputs = [self.indices[n] for n in self.program.inputs]
        self.graph.outputs = [self.indices[n] for n in self.program.outputs]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _convolutions(self) -> list[Convolution]:
        found = []
        for operator in self.program.operators:
            if not isinstance(operator, Convolution) or isinstance(operator, Depthwise):
                raise SdiwmError(f"'{operator.name}' is no convolution, which are all TFLM gets")
            found.append(operator)
        return found

    def _code(self, kind: str) -> Any:
        code = self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self.schema.BuiltinOperator, kind)
        code.version = 1
        return code

    def _tensor(
        self, name: str, shape: Any, kind: str, scale: Any, zero: Any, data: Any = None
    ) -> int:
        tensor, quantised = self.schema.TensorT(), self.schema.QuantizationParametersT()
        tensor.name, tensor.shape = name, [int(n) for n in shape]
        tensor.type = getattr(self.schema.TensorType, kind)
        tensor.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale is not None:
            quantised.scale = np.atleast_1d(np.asarray(scale, np.float32))
            quantised.zeroPoint = np.broadcast_to(np.int64(zero), quantised.scale.shape).copy()
            tensor.quantization = quantised
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _activation(
        self, tensor: Tensor, zero: int, suffix: str = "", pads: tuple[int, int] = (0, 0)
    ) -> int:
        height, width, channels = tensor.shape
        shape = (1, height + 2 * pads[0], width + 2 * pads[1], channels)
        index = self._tensor(tensor.name + suffix, shape, "INT8", tensor.scale, zero)
        if not suffix:
            self.indices[tensor.name] = index
        return index

    def _convolution(self, c: Convolution) -> None:
        """The same sums and scales; padding is an operator of its own, as TFLM pads at the end."""
        if (c.low, c.high) != (-128, 127) or c.table is not None:
            raise SdiwmError(
                f"'{c.name}' has bounds or a table, which TFLM's convolutions have not"
            )
        x, y = self.program.tensors[c.inputs[0]], self.program.tensors[c.output]
        unit = c.multiplier * 2.0 ** -(c.shift.astype(np.float64) + 15) * y.scale
        scale = unit / x.scale
        source, pads = self.indices[x.name], c.window.pad
        if any(pads):
            amounts = self._tensor(
                f"{c.name}.pads", (4, 2), "INT32", None, None,
                np.array([[0, 0], [pads[0]] * 2, [pads[1]] * 2, [0, 0]], np.int32),
            )  # fmt: skip
            padded = self._activation(x, c.padding, f".{c.name}", pads)
            self._operator(1, [source, amounts], padded, "PadOptions", self.schema.PadOptionsT())
            source = padded
        rows = c.weight.astype(np.int64).reshape(len(c.weight), -1).sum(axis=1)
        bias = c.bias - rounding(c.shift) + c.padding * rows
        weight = self._tensor(f"{c.name}.weight", c.weight.shape, "INT8", scale, 0, c.weight)
        biases = self._tensor(f"{c.name}.bias", bias.shape, "INT32", unit, 0, bias.astype(np.int32))
        self.graph.tensors[weight].quantization.quantizedDimension = 0
        options = self.schema.Conv2DOptionsT()
        options.padding = self.schema.Padding.VALID
        options.strideH, options.strideW = c.window.stride
        options.dilationHFactor, options.dilationWFactor = c.window.dilation
        self._operator(
            0, [source, weight, biases], self._activation(y, c.zero), "Conv2DOptions", options
        )

    def _operator(self, code: int, inputs: list[int], output: int, kind: str, options: Any) -> None:
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [output]
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
        operator.builtinOptions = options
        self.graph.operators.append(operator)


class _Interpreter:
    """TFLM on one file."""

    def __init__(self, model: bytes) -> None:
        from tflite_micro import runtime

        self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=ARENA)
        self.arena_bytes = self._measure()

    def run(self, picture: NDArray[np.int8]) -> NDArray[np.int64]:
        """int8 (H, W, C) -> the output's integers (height, width, channels)."""
        self._interpreter.set_input(picture[None], 0)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_output(0))[0].astype(np.int64)

    def _measure(self) -> int:
        """What it says of its arena; its C++ prints that."""
        with tempfile.TemporaryFile() as log:
            kept = os.dup(1), os.dup(2)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            try:
                self._interpreter.print_allocations()
            finally:
                os.dup2(kept[0], 1)
                os.dup2(kept[1], 2)
                os.close(kept[0])
                os.close(kept[1])
            log.seek(0)
            said = log.read().decode()
        found = re.search(r"Arena allocation total (\d+) bytes", said)
        if found is None:
            raise SdiwmError(f"TFLM does not say what its arena takes: {said.strip()[:200]!r}")
        return int(found.group(1))
