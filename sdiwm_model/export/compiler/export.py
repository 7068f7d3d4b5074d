"""`sdiwm export cpp`: an ONNX file becomes a folder of C++17 that depends on nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.calibrate import Ranges, calibrate, given_ranges
from sdiwm_model.export.compiler.codegen import generate
from sdiwm_model.export.compiler.constants import identifier
from sdiwm_model.export.compiler.examples import load_examples
from sdiwm_model.export.compiler.graph import Graph
from sdiwm_model.export.compiler.layout import Layout, layout
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.quantise import quantise
from sdiwm_model.export.compiler.report import report
from sdiwm_model.export.compiler.rewrite import simplify
from sdiwm_model.files import write_json
from sdiwm_model.runtime.build import sources


def compile_onnx(
    onnx: Path, calibration: Path | None = None, ram: int | None = None
) -> tuple[Layout, Ranges]:
    """Import, calibrate, quantise and lay out one network.

    Args:
        calibration: examples (`load_examples`), or a .json file of ranges measured before. What a
            quantised file says of its values goes first; it may need nothing else.
        ram: bytes of memory allowed; the least possible without it.

    Raises:
        SdiwmError: what cannot be compiled, by the node's name; bad calibration; too little memory.
    """
    graph = import_onnx(onnx)
    simplify(graph)
    ranges = _ranges(graph, calibration)
    return layout(quantise(graph, ranges), ram), ranges


def _ranges(graph: Graph, calibration: Path | None) -> Ranges:
    if calibration is None:
        return given_ranges(graph)
    if calibration.suffix == ".json":
        return Ranges.load(calibration)
    return calibrate(graph, load_examples(calibration, graph))


def write_network(folder: Path, made: Layout, ranges: Ranges, name: str) -> dict[str, Any]:
    """Write NAME.hpp, NAME.cpp, NAME.json (the report), NAME.ranges.json and the kernels.

    Returns the report. SdiwmError where `name` is no C++ name.
    """
    if name != identifier(name):
        raise SdiwmError(f"--name {name} is no C++ name: use letters, digits and _")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in generate(made, name).items():
        (folder / file).write_text(text, encoding="utf-8")
    figures = report(made)
    write_json(folder / f"{name}.json", figures)
    ranges.save(folder / f"{name}.ranges.json")
    kernels = sources() / "kernels"
    shutil.copytree(kernels / "nn", folder / "nn", dirs_exist_ok=True)
    shutil.copyfile(kernels / "fixed_point.hpp", folder / "fixed_point.hpp")
    return figures
