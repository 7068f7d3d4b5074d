"""A world-action model as ONNX graphs, compared with torch before they are kept.

The graphs hold no weights: they name tensors of wam.safetensors, which all of them share and which
the engine hands over when it opens them. That keeps a folder at the size of one float16 copy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.onnx import TOLERANCE
from sdiwm_model.files import write_json
from sdiwm_model.wam.checkpoint import FOLDER, WEIGHTS, load_wam, write_wam_manifest
from sdiwm_model.wam.graph_builder import OPSET, GraphBuilder
from sdiwm_model.wam.graphs import build_graphs
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.onnx_engine import OnnxWamEngine
from sdiwm_model.wam.precisions import ROUNDED, in_fp16, in_int8
from sdiwm_model.wam.protocols import StepPair, WamEngine
from sdiwm_model.wam.switches import PRECISIONS, UNOPTIMISED, Switches
from sdiwm_model.wam.torch_engine import TorchWamEngine
from sdiwm_model.wam.weights import (
    FLOAT,
    FP16,
    GRAPHS,
    INT8_WEIGHTS,
    Tensors,
    graph_file,
)

COMPARED = {  # every graph has its turn; without reuse only passes that see all are the same
    Switches(): (StepPair(1, 2), StepPair(2, 1, "inverse"), StepPair(0, 2, "prefill")),
    replace(UNOPTIMISED, token_drop="ranked"): (StepPair(2, 2),),
}


def export_wam(
    bundle: Path, base: Manifest, precisions: Sequence[str] = PRECISIONS
) -> dict[str, float]:
    """Write the graphs of the world-action model in ``bundle``.

    Args:
        bundle: any folder that holds one, in `wam`.
        base: of the bundle that it stands on.
        precisions: of `switches.PRECISIONS`, float among them.

    Returns:
        How far their chunks are from torch's at most, in units of the action's limit.

    Raises:
        SdiwmError: there is none, or what the float graphs make differs by more than 1e-4.
    """
    folder = bundle / FOLDER
    model, manifest = load_wam(bundle, base)
    with tempfile.TemporaryDirectory(dir=bundle, prefix=f".{FOLDER}.") as temporary:
        made = Path(temporary)
        errors = export_graphs(made, model, precisions)
        old = [path for path in folder.iterdir() if _is_graph(path)]
        # Stopped from here on, it leaves a model that has no graphs yet, and not a damaged one.
        write_wam_manifest(folder, manifest, without={path.name for path in old})
        for path in old:
            path.unlink()
        for path in sorted(made.iterdir(), key=lambda path: path.name == GRAPHS):
            path.replace(folder / path.name)
    about = {"opset": OPSET, "onnx": version("onnx"), "onnxruntime": version("onnxruntime")}
    provenance = manifest.provenance | {"graphs": about | {"errors": errors}}
    write_wam_manifest(folder, replace(manifest, provenance=provenance))
    return errors


def export_graphs(
    folder: Path, model: WorldActionModel, precisions: Sequence[str]
) -> dict[str, float]:
    """Write the graphs of ``model``, whose weights are those in float16, into an empty folder.

    Returns, and raises, as `export_wam`.
    """
    tensors = {name: x.numpy() for name, x in model.state_dict().items()}
    built = build_graphs(model.size, {name: x.shape for name, x in tensors.items()})
    (folder / WEIGHTS).write_bytes(save({n: x.astype(np.float16) for n, x in tensors.items()}))
    named = {each: _write(folder, built, tensors, each) for each in precisions}
    write_json(folder / GRAPHS, {"opset": OPSET} | named)
    errors = {each: _largest_difference(folder, model, each) for each in precisions}
    if not errors[FLOAT] <= TOLERANCE:
        raise SdiwmError(
            f"the ONNX graphs' chunks differ from torch's by {errors[FLOAT]:.2g} (allowed "
            f"{TOLERANCE:g}): nothing was written; the weights may be damaged."
        )
    (folder / WEIGHTS).unlink()
    return errors


def _is_graph(path: Path) -> bool:
    return path.suffix == ".onnx" or path.name in (GRAPHS, INT8_WEIGHTS)


def _write(
    folder: Path, built: Mapping[str, GraphBuilder], tensors: Tensors, precision: str
) -> dict[str, list[str]]:
    """All graphs in one precision; the weights that each of them names."""
    import onnx

    named: dict[str, list[str]] = {}
    all_rounded: Tensors = {}
    for name, graph in built.items():
        if precision == FLOAT:
            made = graph.model()
        elif precision == FP16:
            made = in_fp16(graph, tensors)
        elif name in ROUNDED:
            made, rounded = in_int8(graph, tensors)
            all_rounded |= rounded
        else:
            continue
        onnx.save(made, folder / graph_file(name, precision))
        named[name] = sorted(x.name for x in made.graph.initializer if x.external_data)
    if all_rounded:
        (folder / INT8_WEIGHTS).write_bytes(save(all_rounded))
    return named


def _largest_difference(folder: Path, model: WorldActionModel, precision: str) -> float:
    """Of all that is compared; rounded, tokens that rank alike would change places."""
    found = []
    for switches, pairs in COMPARED.items():
        drop = switches.token_drop if precision == FLOAT else "none"
        chosen = replace(switches, precision=precision, token_drop=drop)
        found.append(_difference(folder, model, chosen, pairs))
    return max(found)


def _difference(
    folder: Path, model: WorldActionModel, switches: Switches, pairs: tuple[StepPair, ...]
) -> float:
    """How far chunks and what is imagined with them are from torch's, at the start and later."""
    size, draw = model.size, np.random.default_rng(0)
    engines: list[WamEngine] = [
        OnnxWamEngine(folder, size, switches),
        TorchWamEngine(model, switches.token_drop, switches.one_step),
    ]
    noise = draw.standard_normal((2, size.chunk, size.action), np.float32)
    c = draw.uniform(-1.0, 1.0, size.conditioning).astype(np.float32)
    errors = []
    last = size.depth * size.window
    for step in range(last + 1):
        o = draw.standard_normal(size.observation, np.float32)
        for engine in engines:
            engine.observe(o)
        if step in (0, last):
            prefix = noise[0, : step and 3].clip(-1.0, 1.0)
            for steps in pairs:
                ours, theirs = (each.chunks(c, noise, steps, prefix) for each in engines)
                imagined, wanted = (each.imagine(c, noise[0], steps) for each in engines)
                errors += [np.abs(ours - theirs).max(), np.abs(imagined - wanted).max()]
    return float(np.max(errors))
