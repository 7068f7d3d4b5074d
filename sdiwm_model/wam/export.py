"""A world-action model as ONNX graphs, compared with torch before they are kept.

The graphs hold no weights: they name tensors of wam.safetensors, which all of them share and which
the engine hands over when it opens them. That keeps a folder at the size of one float16 copy.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.onnx import TOLERANCE
from sdiwm_model.files import write_json
from sdiwm_model.wam.checkpoint import FOLDER, WEIGHTS, load_wam, write_wam_manifest
from sdiwm_model.wam.graph_builder import OPSET
from sdiwm_model.wam.graphs import build_graphs
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.onnx_engine import OnnxWamEngine
from sdiwm_model.wam.protocols import StepPair, WamEngine
from sdiwm_model.wam.switches import UNOPTIMISED, Switches
from sdiwm_model.wam.torch_engine import TorchWamEngine
from sdiwm_model.wam.weights import FLOAT, GRAPHS, graph_file

COMPARED = {  # every graph has its turn; without reuse only passes that see all are the same
    Switches(): (StepPair(1, 2), StepPair(2, 1, "inverse"), StepPair(0, 2, "prefill")),
    replace(UNOPTIMISED, token_drop="ranked"): (StepPair(2, 2),),
}


def export_wam(bundle: Path) -> float:
    """Write the graphs of the world-action model in ``bundle``; the largest error of its chunks.

    Raises:
        SdiwmError: there is none, or what the graphs make differs from torch by more than 1e-4.
    """
    model, manifest = load_wam(bundle, read_manifest(bundle))
    error = export_graphs(bundle / FOLDER, model)
    about = {"opset": OPSET, "onnx": version("onnx"), "onnxruntime": version("onnxruntime")}
    provenance = manifest.provenance | {"graphs": about}
    write_wam_manifest(bundle / FOLDER, replace(manifest, provenance=provenance))
    return error


def export_graphs(folder: Path, model: WorldActionModel) -> float:
    """Write the graphs of ``model`` into ``folder``, which holds its weights; the largest error.

    Raises:
        SdiwmError: what they make differs from torch by more than 1e-4; nothing was written.
    """
    import onnx

    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary)
        shutil.copyfile(folder / WEIGHTS, made / WEIGHTS)
        built = build_graphs(model.size, shapes)
        for name, graph in built.items():
            onnx.save(graph.model(), made / graph_file(name, FLOAT))
        named = {name: graph.weights for name, graph in built.items()}
        write_json(made / GRAPHS, {"opset": OPSET, FLOAT: named})
        error = max(_difference(made, model, *each) for each in COMPARED.items())
        if not error <= TOLERANCE:
            raise SdiwmError(
                f"the ONNX graphs' chunks differ from torch's by {error:.2g} (allowed "
                f"{TOLERANCE:g}): nothing was written; the weights may be damaged."
            )
        for path in made.glob("*.onnx"):
            path.replace(folder / path.name)
        (made / GRAPHS).replace(folder / GRAPHS)
    return error


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
