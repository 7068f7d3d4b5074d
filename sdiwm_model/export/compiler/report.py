"""What a compiled network takes: memory of every tensor, work of every operator, flash."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdiwm_model.export.compiler.layout import Layout, arrange
from sdiwm_model.export.compiler.operators import Operator


def report(layout: Layout) -> dict[str, Any]:
    """Figures of a layout, for JSON.

    peak_bytes            the arena: all tensors and scratch memory
    layerwise_peak_bytes  the same without patches: one whole layer after the other
    separate_peak_bytes   layerwise, and a layer's output never shares memory with its input, but
                          for elementwise operators
    extra_macs            done twice, where patches overlap
    constant_bytes        weights, biases, tables in flash; code comes on top
    """
    program = layout.program
    operators = [_operator(layout, o, index) for index, o in enumerate(program.operators)]
    return {
        "name": program.name,
        "peak_bytes": layout.peak,
        "layerwise_peak_bytes": arrange(program, None).peak,
        "separate_peak_bytes": arrange(program, None, overlap=False).peak,
        "macs": sum(o["macs"] for o in operators),
        "extra_macs": layout.extra_macs,
        "constant_bytes": _constant_bytes(layout),
        "patched_operators": layout.stage.length if layout.stage else 0,
        "strips": len(layout.stage.spans) if layout.stage else 0,
        "tensors": _tensors(layout),
        "operators": operators,
    }


def table(figures: dict[str, Any]) -> str:
    """The report as text."""
    lines = [f"{'operator':<28}{'kind':<16}{'MACs':>11}{'constants':>11}{'output':>24}{'bytes':>9}"]
    sizes = {t["name"]: t for t in figures["tensors"]}
    for o in figures["operators"]:
        out = sizes[o["output"]]
        height, width, channels = out["shape"]
        shape = f"{height}x{width}x{channels}"
        if (out["rows"], out["columns"]) != (height, width):
            shape += f" ({out['rows']}x{out['columns']})"
        lines.append(
            f"{o['name'][:27]:<28}{o['kind']:<16}{o['macs']:>11}{o['constant_bytes']:>11}"
            f"{shape:>24}{out['bytes']:>9}"
        )
    stage, strips = figures["patched_operators"], figures["strips"]
    share = 100 * figures["extra_macs"] / max(1, figures["macs"])
    lines += [
        f"memory {figures['peak_bytes']} bytes"
        + (f", the first {stage} operators row by row in {strips} strips" if stage else ""),
        f"  layer by layer {figures['layerwise_peak_bytes']} bytes, without sharing memory between "
        f"a layer's input and output {figures['separate_peak_bytes']}",
        f"constants {figures['constant_bytes']} bytes, {figures['macs']} multiply-accumulates"
        f" and {share:.1f} % more for overlapping patches",
    ]
    return "\n".join(lines)


def _operator(layout: Layout, operator: Operator, index: int) -> dict[str, Any]:
    program = layout.program
    return {
        "name": operator.name,
        "kind": type(operator).__name__,
        "inputs": list(operator.inputs),
        "output": operator.output,
        "macs": program.macs(operator),
        "constant_bytes": sum(a.nbytes for a in operator.arrays().values()),
        "scratch_bytes": layout.scratch_bytes[operator.name],
        "patched": bool(layout.stage and index < layout.stage.length),
    }


def _tensors(layout: Layout) -> list[dict[str, Any]]:
    rows = []
    for name, tensor in layout.program.tensors.items():
        if name not in layout.memory.offsets:
            continue
        rows.append(
            {
                "name": name,
                "shape": list(tensor.shape),
                "type": tensor.dtype,
                "scale": np.asarray(tensor.scale).tolist(),
                "zero": np.asarray(tensor.zero).tolist(),
                "rows": layout.rows(name),
                "columns": layout.columns(name),
                "bytes": layout.bytes(name),
                "offset": layout.offset(name),
            }
        )
    return rows


def _constant_bytes(layout: Layout) -> int:
    """Equal arrays are stored once."""
    found: dict[bytes, int] = {}
    for operator in layout.program.operators:
        for array in operator.arrays().values():
            found[array.dtype.name.encode() + array.tobytes()] = array.nbytes
    for tensor in layout.program.tensors.values():
        if tensor.constant is not None:
            found[tensor.name.encode()] = tensor.constant.nbytes
    if layout.stage:
        found[b"order"] = len(layout.stage.order)
    return sum(found.values())
