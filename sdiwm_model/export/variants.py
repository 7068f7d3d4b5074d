"""A bundle's ONNX graphs in fewer bits, for machines whose ONNX Runtime is faster with them.

fp16     weights and sums in 16-bit floats, inputs and outputs as before: for GPUs; a CPU computes
         them in 32 bits and converts
dynamic  int8 weights, ranges of the inputs measured at every call
qdq      int8 weights and inputs, ranges measured beforehand on rollouts of the quantised graph
         itself, as the engine's are (`compression.quantise`): QuantizeLinear and DequantizeLinear
         around every layer (QDQ), which is also what TensorRT takes

Only what enters a product is rounded: latents, gates and the layers' sums stay floats, and so do
the gains and shifts that an instruction decides alone.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.checkpoint import read_manifest, write_manifest
from sdiwm_model.compression.activations import Calibration, Floats, Rollouts, by_goal
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import read_calibration
from sdiwm_model.runtime.session import open_session

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

KINDS = ("fp16", "dynamic", "qdq")
GRAPHS = ("vision", "step", "heads", "prior")  # that may have variants; `prior` where there is one
LAYERS = ("Gemm", "MatMul", "Conv")  # that are quantised
ROWS = 256  # examples of a graph that takes one at a time

Feeds = Iterable[dict[str, NDArray[Any]]]


def variant_file(graph: str, kind: str) -> str:
    """File of a graph's variant in a bundle."""
    return f"{graph}.{kind}.onnx"


def export_variants(
    bundle: Path, source: Path, kinds: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Write variants of the graphs of ``bundle``, which then has another hash.

    Args:
        source: run of the same model, whose calibration the ranges are measured on.
        kinds: of `KINDS`; a dynamic variant leaves vision as it is, since its convolutions would
            become slower.

    Returns:
        For each kind its files, their bytes, and how far it is from the float graphs: `drift`, the
        root mean square of |z_k - z_float,k| over rollouts that no range was measured on, and
        `features`, the same of the image features, where vision has a variant.

    Raises:
        SdiwmError: an unknown kind; no bundle; a source without calibration, or of another model.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise SdiwmError(f"unknown variant '{unknown[0]}': choose from {', '.join(KINDS)}")
    manifest = read_manifest(bundle)
    if "step.onnx" not in manifest.files:
        raise SdiwmError(f"{bundle} holds no step.onnx: name a bundle that `sdiwm export` wrote")
    calibration, pictures = read_calibration(source)
    _check_source(calibration, source, bundle)
    names = [name for name in GRAPHS if f"{name}.onnx" in manifest.files]
    if pictures is None:
        names.remove("vision")
    with tempfile.TemporaryDirectory(dir=bundle.parent, prefix=f".{bundle.name}.") as temporary:
        made = _Variants(bundle, Path(temporary), calibration, pictures, seed)
        facts = {kind: made.write(kind, names) for kind in kinds}
        for path in Path(temporary).glob("*.onnx"):
            shutil.move(path, bundle / path.name)
    about = {
        "kinds": facts,
        "onnx": version("onnx"),
        "onnxruntime": version("onnxruntime"),
        "seed": seed,
    }
    write_manifest(bundle, replace(manifest, provenance=manifest.provenance | {"variants": about}))
    return facts


def _check_source(calibration: Calibration, source: Path, bundle: Path) -> None:
    ours, theirs = read_manifest(bundle), read_manifest(source)
    if ours.task != theirs.task or ours.sizes != theirs.sizes:
        raise SdiwmError(
            f"{source} is a run of the task '{theirs.task}' and size '{theirs.size}', {bundle} one "
            f"of '{ours.task}' and '{ours.size}': name the run that the bundle was exported from"
        )
    calibration.check()


class _Variants:
    """Writes variants of a bundle's graphs into another folder, and compares them."""

    def __init__(
        self,
        bundle: Path,
        out: Path,
        calibration: Calibration,
        pictures: NDArray[np.uint8] | None,
        seed: int,
    ) -> None:
        self.bundle, self.out = bundle, out
        drawn = Rollouts.draw(calibration, seed)
        self.shown, self.held_out = drawn.some(slice(0, None, 2)), drawn.some(slice(1, None, 2))
        self.pictures = pictures
        self._float = rolled_out(open_session(bundle / "step.onnx"), self.held_out)

    def write(self, kind: str, names: Sequence[str]) -> dict[str, Any]:
        """One kind of every graph that has it, and its facts."""
        chosen = [name for name in names if not (kind == "dynamic" and name == "vision")]
        write: Callable[[str], None] = getattr(self, f"_{kind}")
        for name in ("step", *(name for name in chosen if name != "step")):
            with _quiet():
                write(name)
        files = {name: variant_file(name, kind) for name in chosen}
        step = open_session(self.out / files["step"])
        apart = np.linalg.norm(rolled_out(step, self.held_out) - self._float, axis=-1)[1:]
        return {
            "files": {file: (self.out / file).stat().st_size for file in files.values()},
            "opset": _opset(self.out / files["step"]),
            "drift": float(np.sqrt(np.square(apart).mean())),
            "features": self._features_apart(files.get("vision")),
        }

    def _fp16(self, name: str) -> None:
        import onnx
        from onnxruntime.quantization.onnx_model import ONNXModel
        from onnxruntime.transformers.float16 import convert_float_to_float16

        graph = convert_float_to_float16(_without_shapes(self._path(name)), keep_io_types=True)
        ONNXModel(graph).topological_sort()  # as the format asks: the converter appends its casts
        onnx.save(graph, self.out / variant_file(name, "fp16"))

    def _dynamic(self, name: str) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        graph = _without_shapes(self._path(name))
        quantize_dynamic(
            graph, self.out / variant_file(name, "dynamic"), weight_type=QuantType.QInt8,
            per_channel=True, op_types_to_quantize=LAYERS, nodes_to_exclude=_left_alone(graph),
        )  # fmt: skip

    def _qdq(self, name: str) -> None:
        """The step twice: first ranges of the float graph's rollouts, then of its own."""
        path = self.out / variant_file(name, "qdq")
        if name == "vision":
            assert self.pictures is not None
            _static(self._path(name), path, [{"image": each[None]} for each in self.pictures])
            return
        if name == "step":
            _static(self._path(name), path, self._steps(self._visited(self._path("step"))))
        visited = self._visited(self.out / variant_file("step", "qdq"))
        feeds = {"step": self._steps, "heads": self._heads, "prior": self._starts}[name]
        _static(self._path(name), path, feeds(visited))

    def _visited(self, step: Path) -> Floats:
        return rolled_out(open_session(step), self.shown)

    def _steps(self, visited: Floats) -> Feeds:
        for c, chosen in by_goal(self.shown.conditionings):
            for t in range(self.shown.actions.shape[1]):
                yield {"z": visited[t, chosen], "a": self.shown.actions[chosen, t], "c": c[None]}

    def _heads(self, visited: Floats) -> Feeds:
        for c, chosen in by_goal(self.shown.conditionings):
            for latents in visited[:, chosen]:
                yield {"z": latents, "c": c[None]}

    def _starts(self, visited: Floats) -> Feeds:
        steps = len(visited)
        for row in range(ROWS):
            at, which = row % steps, row % len(self.shown.starts)
            c = self.shown.conditionings[which]
            yield {"z": visited[at, which][None], "c": c[None]}

    def _features_apart(self, vision: str | None) -> float | None:
        if vision is None or self.pictures is None:
            return None
        feeds = [{"image": each[None]} for each in self.pictures]
        ours, theirs = (
            np.stack([session.run(None, feed)[0] for feed in feeds])
            for session in map(open_session, (self._path("vision"), self.out / vision))
        )
        return float(np.sqrt(np.square(ours - theirs).mean()))

    def _path(self, name: str) -> Path:
        return self.bundle / f"{name}.onnx"


def rolled_out(step: InferenceSession, rollouts: Rollouts) -> Floats:
    """Latents (T + 1, N, Z) that a step graph visits, the start included."""
    steps = rollouts.actions.shape[1]
    visited = np.empty((steps + 1, *rollouts.starts.shape), np.float32)
    visited[0] = rollouts.starts
    for c, chosen in by_goal(rollouts.conditionings):
        for t in range(steps):
            feed = {"z": visited[t, chosen], "a": rollouts.actions[chosen, t], "c": c[None]}
            visited[t + 1, chosen] = step.run(["next_z"], feed)[0]
    return visited


def _static(source: Path, out: Path, feeds: Feeds) -> None:
    """QDQ of the layers, weights by output channel, ranges the extremes of what ``feeds`` give."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._feeds, None)

    graph = _without_shapes(source)
    left_alone = _left_alone(graph)
    _copy_inputs(graph, left_alone)
    quantize_static(
        graph, out, Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=LAYERS,
        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        nodes_to_exclude=left_alone,
        extra_options={"OpTypesToExcludeOutputQuantization": list(LAYERS)},
    )  # fmt: skip


def _without_shapes(path: Path) -> ModelProto:
    """A graph without the shapes of its inner tensors: quantising transposes some of them."""
    import onnx

    graph = onnx.load(path)
    del graph.graph.value_info[:]
    return graph


def _copy_inputs(graph: ModelProto, left_alone: Sequence[str]) -> None:
    """Give the layers copies of what they take in.

    Whatever is rounded is so for all that takes it in: without a copy, the recurrent state would be
    carried from step to step in 8 bits.
    """
    from onnx import helper

    copied: set[str] = set()
    nodes = []
    for node in graph.graph.node:
        if node.op_type in LAYERS and node.name not in left_alone:
            seen = f"{node.input[0]}_seen"
            if seen not in copied:
                nodes.append(helper.make_node("Identity", [node.input[0]], [seen], name=seen))
                copied.add(seen)
            node.input[0] = seen
        nodes.append(node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _left_alone(graph: ModelProto) -> list[str]:
    """Names of layers that stay floats.

    Those that take in nothing but the conditioning, whose gains and shifts hold for a whole plan;
    and those that take in a softmax: a keypoint is the mean of a thousand small shares, of which
    8 bits round most to nothing.
    """
    weights = {tensor.name for tensor in graph.graph.initializer}
    told, shares, found = {"c"}, set(), []
    for node in graph.graph.node:
        sources = [name for name in node.input if name and name not in weights]
        if node.op_type == "Expand":
            sources = sources[:1]  # the other is a shape
        if sources and told.issuperset(sources):
            told |= set(node.output)
            found.append(node.name)
        if node.op_type == "Softmax":
            shares |= set(node.output)
        if shares.intersection(sources):
            found.append(node.name)
    return found


def _opset(path: Path) -> int:
    import onnx

    imported = onnx.load(path, load_external_data=False).opset_import
    return max(each.version for each in imported if each.domain in ("", "ai.onnx"))


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantiser recommends a pre-processing that these graphs do not need."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
