"""`sdiwm export cpp` writes C++ that compiles by itself and says what it takes."""

import json
import subprocess

import numpy as np
import pytest

from sdiwm_model.cli import main
from sdiwm_model.runtime.build import find_compiler
from sdiwm_model.shipped import bundle_folder


@pytest.fixture
def vision():
    return bundle_folder(None, "reach") / "vision.onnx"


@pytest.fixture
def examples(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    np.savez(tmp_path / "examples.npz", image=pictures)
    return tmp_path / "examples.npz"


def export(*arguments):
    return main(["export", "cpp", *map(str, arguments)])


def test_the_folder_depends_on_nothing_else(vision, examples, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--onnx", vision, "--calibration", examples, "--out", out, "--name", "eye")
    assert export(*options) == 0
    assert "multiply-accumulates" in capsys.readouterr().out
    command = [find_compiler(), "-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-c",
               f"-I{out}", out / "eye.cpp", "-o", tmp_path / "eye.o"]  # fmt: skip
    subprocess.run(command, check=True)
    names = subprocess.run(
        ["nm", "--undefined-only", tmp_path / "eye.o"], capture_output=True, text=True, check=True
    ).stdout.split()
    allowed = {"U", "memcpy", "memset", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
    assert set(names) <= allowed
    figures = json.loads((out / "eye.json").read_text())
    assert figures["macs"] == 3_391_488
    assert figures["peak_bytes"] <= figures["layerwise_peak_bytes"]
    assert figures["layerwise_peak_bytes"] < figures["separate_peak_bytes"]


def test_ranges_make_the_same_network_again(vision, examples, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert export("--onnx", vision, "--calibration", examples, "--out", first) == 0
    ranges = first / "vision.ranges.json"
    assert export("--onnx", vision, "--calibration", ranges, "--out", second) == 0
    assert (first / "vision.cpp").read_text() == (second / "vision.cpp").read_text()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (("--ram", 1000), "needs"),
        (("--name", "a b"), "is no C++ name"),
        (("--calibration", "missing.npz"), "cannot be read as examples"),
        (("--onnx", "missing.onnx"), "is missing"),
    ],
)
def test_bad_input_is_one_sentence(vision, examples, tmp_path, capsys, changed, sentence):
    options = {"--onnx": vision, "--calibration": examples, "--out": tmp_path / "out"}
    options |= {changed[0]: changed[1]}
    assert export(*(x for pair in options.items() for x in pair)) == 2
    assert sentence in capsys.readouterr().err
