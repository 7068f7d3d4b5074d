"""What `sdiwm bench mcu` says of compiled networks: the same integers everywhere, patches."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.export.compiler.calibrate import calibrate
from sdiwm_model.export.compiler.graph import Graph
from sdiwm_model.export.compiler.host import HostNetwork
from sdiwm_model.export.compiler.layout import Layout, arrange, layout
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.operators import Program
from sdiwm_model.export.compiler.quantise import quantise
from sdiwm_model.export.compiler.rewrite import simplify
from sdiwm_model.firmware.boards import BOARDS
from sdiwm_model.firmware.network import ChipNetwork, expected_checksum, fnv, random_inputs
from sdiwm_model.firmware.sample_networks import NETWORKS, Network

EXAMPLES = 6  # random ones, for ranges
PICTURES = 2  # compared between patches and whole layers


def compare_networks(vectors: int, seed: int) -> dict[str, Any]:
    """Every sample network on random inputs, `vectors` in all: reference = host = every chip.

    Returns:
        network -> {"vectors", "host" and each emulated board: how many have the same integers}.
    """
    found = {}
    each = -(-vectors // len(NETWORKS))
    for name in NETWORKS:
        plan = layout(sample_program(name, seed))
        expected = [expected_checksum(plan, seed + i) for i in range(each)]
        host = HostNetwork(plan)
        got = {"host": [fnv(plan, host(random_inputs(plan, seed + i))) for i in range(each)]}
        for board in BOARDS.values():
            if board.machine is not None:
                with ChipNetwork(plan, board) as chip:
                    got[board.name] = [run.checksum for run in chip.run(seed, each)]
        same = {k: int(np.equal(sums, expected).sum()) for k, sums in got.items()}
        found[name] = {"vectors": each} | same
    return found


def sample_program(name: str, seed: int) -> Program:
    """A sample network in integers."""
    made = Network(np.random.default_rng(seed))
    with tempfile.TemporaryDirectory(prefix="sdiwm-sample-") as folder:
        return _program(made.save(Path(folder) / f"{name}.onnx", *NETWORKS[name](made)))


def patch_figures(seed: int) -> dict[str, Any]:
    """The 224 x 224 encoder layer by layer and patch by patch, both run on this machine.

    layerwise_peak_bytes  every layer's output beside its input
    sharing_peak_bytes    layer by layer, an output over the rows of its input that were read
    patch_peak_bytes      the layout chosen for the least memory
    ratio                 the first by the last
    extra_macs            share of the network's that patches do twice
    identical             whether both make the same integers of random pictures
    """
    program = _high_resolution(seed)
    whole, patched = arrange(program, None, overlap=False), layout(program)
    once = sum(program.macs(operator) for operator in program.operators)
    return {
        "network": "HighResolutionEncoder, 224x224",
        "layerwise_peak_bytes": whole.peak,
        "sharing_peak_bytes": arrange(program, None).peak,
        "patch_peak_bytes": patched.peak,
        "ratio": whole.peak / patched.peak,
        "extra_macs": patched.extra_macs / once,
        "identical": _identical(whole, patched, seed),
    }


def _identical(a: Layout, b: Layout, seed: int) -> bool:
    first, second = HostNetwork(a), HostNetwork(b)
    pictures = [random_inputs(a, seed + i) for i in range(PICTURES)]
    return all(fnv(a, first(given)) == fnv(b, second(given)) for given in pictures)


def _high_resolution(seed: int) -> Program:
    import torch

    from sdiwm_model.export.quiet import quiet_exporter
    from sdiwm_model.high_resolution import IMAGE_SIZE, HighResolutionEncoder

    torch.manual_seed(seed)
    encoder = HighResolutionEncoder().eval()
    picture = torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory(prefix="sdiwm-encoder-") as folder:
        path = Path(folder) / "encoder.onnx"
        with quiet_exporter(), torch.no_grad():
            torch.onnx.export(
                encoder, (picture,), path, dynamo=True, verbose=False, opset_version=18,
                input_names=["image"], output_names=["features"], external_data=False,
            )  # fmt: skip
        return _program(path, 1)


def _program(path: Path, count: int = EXAMPLES) -> Program:
    graph = import_onnx(path)
    simplify(graph)
    return quantise(graph, calibrate(graph, random_examples(graph, count)))


def random_examples(graph: Graph, count: int, seed: int = 0) -> dict[str, Any]:
    """Inputs that a camera or joints could give, (count, ...) each."""
    rng = np.random.default_rng(seed)
    return {
        entry.name: rng.integers(0, 256, (count, *graph.shapes[entry.name])).astype(np.uint8)
        if entry.is_bytes
        else rng.uniform(-1, 1, (count, *graph.shapes[entry.name]))
        for entry in graph.inputs
    }
