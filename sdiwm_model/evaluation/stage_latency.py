"""How long every stage takes on every target of this machine, all in the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdiwm_model.checkpoint import load_model, read_manifest
from sdiwm_model.evaluation.round_robin import one_core, round_robin
from sdiwm_model.evaluation.stages import FULL, Stage, missing_for
from sdiwm_model.export.variants import KINDS, variant_file
from sdiwm_model.report import distribution
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.protocols import HOST_BACKENDS, Runtime
from sdiwm_model.runtime.session import no_tensorrt
from sdiwm_model.runtime.torch import TorchDynamics, TorchRuntime

TARGETS = (*HOST_BACKENDS, "gpu", "onnx.tensorrt")
PARTS = ("encode", "fuse", "plan")
NO_GPU = "no CUDA device, or a torch that was built without it"
Calls = dict[tuple[Path, str, str], Callable[[], object]]


def latencies(
    stages: Sequence[Stage], seconds: float, seed: int, notes: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """For each stage, of its first bundle: widths, not weights, tell how long it takes.

    latency_ms        of one plan, by target; ONNX graphs in fewer bits where the bundle has them
    parts_ms          also of a picture, and of fusing it with joints
    speedup           the full model's median over this one's, on the same target
    speedup_of_stage  that of the full model's fastest float target over this one's own back end
    control_hz        1 / (fuse + plan): a control tick's work when no picture has come

    Args:
        seconds: for each part of each stage and target.
        notes: told why a target is missing.
    """
    calls: Calls = {}
    for stage in stages:
        bundle = stage.bundles[0]
        for target in (*TARGETS, *_variants(bundle)):
            reason = _missing(target, bundle)
            if reason is None:
                _add_calls(calls, bundle, target, seed)
            else:
                whose = stage.name if target in HOST_BACKENDS else "*"  # of bundle or of machine
                notes[f"stages.{whose}.latency_ms.{target}"] = reason
    with one_core():
        times = round_robin(calls, seconds, seed)
    found = {
        stage.name: _figures(stage, {key: distribution(each) for key, each in times.items()})
        for stage in stages
    }
    full = found[FULL]["latency_ms"]
    fastest = min(full[target]["p50"] for target in ("torch", "onnx") if full[target])
    for stage in stages:
        block = found[stage.name]
        own = block["latency_ms"]
        block["speedup"] = {
            target: full[target]["p50"] / own[target]["p50"]
            for target in own
            if full.get(target) and own[target]
        }
        block["speedup_of_stage"] = fastest / own[stage.backend]["p50"]
    return found


def _figures(stage: Stage, times: dict[tuple[Path, str, str], dict[str, Any]]) -> dict[str, Any]:
    bundle = stage.bundles[0]
    parts = {
        target: {part: times[bundle, target, part] for part in PARTS}
        for target in (*TARGETS, *_variants(bundle))
        if (bundle, target, "plan") in times
    }
    own = parts[stage.backend]
    return {
        "latency_ms": dict.fromkeys(TARGETS)
        | {target: each["plan"] for target, each in parts.items()},
        "parts_ms": parts,
        "control_hz": 1e3 / (own["fuse"]["p50"] + own["plan"]["p50"]),
    }


def _variants(bundle: Path) -> list[str]:
    """Targets `onnx.fp16` and so on: of graphs in fewer bits that the bundle holds."""
    files = read_manifest(bundle).files
    return [f"onnx.{kind}" for kind in KINDS if variant_file("step", kind) in files]


def _missing(target: str, bundle: Path) -> str | None:
    if target == "gpu":
        return None if torch.cuda.is_available() else NO_GPU
    if target == "onnx.tensorrt":
        return no_tensorrt()
    return missing_for(target.partition(".")[0], read_manifest(bundle))


def _add_calls(calls: Calls, bundle: Path, target: str, seed: int) -> None:
    if (bundle, target, "plan") not in calls:  # a stage may be other integers of the same bundle
        backend, _, variant = target.partition(".")
        gpu = target == "gpu"
        runtime: Runtime = (
            _GpuRuntime(bundle) if gpu else load_runtime(bundle, backend, variant=variant or None)
        )
        for part, call in zip(PARTS, _calls(runtime, seed), strict=True):
            calls[bundle, target, part] = call


class _GpuRuntime(TorchRuntime):
    """The candidates of a plan on a GPU, all else on this processor."""

    def __init__(self, bundle: Path) -> None:
        super().__init__(bundle)
        self.dynamics = TorchDynamics(load_model(bundle)[0], "cuda")


def plan_call(runtime: Runtime, seed: int) -> Callable[[], object]:
    """One plan of the bundle's settings, warm start given; its time depends on sizes alone."""
    sizes = runtime.manifest.sizes
    rng = np.random.default_rng(seed)
    z = np.tanh(rng.standard_normal(sizes.latent)).astype(np.float32)
    c = rng.uniform(-1, 1, sizes.conditioning).astype(np.float32)
    planner = runtime.make_planner(runtime.manifest.planner, seed)
    warm_start = planner.plan(z, c, None).actions
    return lambda: planner.plan(z, c, warm_start)


def _calls(runtime: Runtime, seed: int) -> tuple[Callable[[], object], ...]:
    """Calls of the parts, on random inputs."""
    sizes = runtime.manifest.sizes
    rng = np.random.default_rng(seed)
    shape = (sizes.image_size, sizes.image_size, 3 * sizes.cameras)
    picture = rng.integers(0, 256, shape).astype(np.uint8)
    features = rng.uniform(-1, 1, sizes.frames * sizes.features).astype(np.float32)
    proprio = rng.uniform(-1, 1, sizes.proprio).astype(np.float32)
    return (
        lambda: runtime.encode_image(picture),
        lambda: runtime.fuse(features, proprio),
        plan_call(runtime, seed),
    )
