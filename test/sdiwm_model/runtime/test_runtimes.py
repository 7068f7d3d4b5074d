import shutil
import subprocess
import sys

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Dynamics, Planner, PlannerSettings
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.protocols import HOST_BACKENDS, Runtime


@pytest.fixture(scope="module")
def runtimes(bundle):
    return {name: load_runtime(bundle, name) for name in HOST_BACKENDS}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        "proprio": rng.normal(size=8).astype(np.float32),
        "actions": rng.uniform(-1, 1, (10, 4)).astype(np.float32),
        "c": rng.uniform(-1, 1, 16).astype(np.float32),
        "z": rng.uniform(-1, 1, 32).astype(np.float32),
    }


@pytest.mark.parametrize("backend", HOST_BACKENDS)
def test_a_runtime_fits_its_protocol(runtimes, backend, inputs):
    runtime = runtimes[backend]
    assert isinstance(runtime, Runtime)
    assert isinstance(runtime.dynamics, Dynamics)
    assert isinstance(runtime.make_planner(PlannerSettings(16, 4), 0), Planner)
    features = runtime.encode_image(inputs["image"])
    latent = runtime.fuse(features, inputs["proprio"])
    shapes = [features.shape, latent.shape, runtime.probe(inputs["z"]).shape]
    assert shapes == [(64,), (32,), (15,)]
    assert runtime.probe(np.zeros((2, 3, 32), np.float32)).shape == (2, 3, 15)
    assert features.dtype == latent.dtype == np.float32
    assert np.abs(features).max() <= 1.0
    assert np.abs(latent).max() <= 1.0


def test_onnx_and_torch_see_imagine_and_plan_alike(runtimes, inputs):
    found = []
    for runtime in (runtimes["torch"], runtimes["onnx"]):
        features = runtime.encode_image(inputs["image"])
        latent = runtime.fuse(features, inputs["proprio"])
        planner = runtime.make_planner(PlannerSettings(64, 8, iterations=2), seed=3)
        plan = planner.plan(latent, inputs["c"], None)
        rollout = runtime.rollout(latent, inputs["actions"], inputs["c"])
        probed = runtime.probe(rollout)
        heads = [f(rollout, inputs["c"]) for f in (runtime.dynamics.cost, runtime.dynamics.value)]
        found.append([features, latent, rollout, probed, *heads, plan.actions, plan.cost])
    for torch_result, onnx_result in zip(*found, strict=True):
        assert np.allclose(torch_result, onnx_result, atol=1e-4)


def test_native_stays_near_torch(runtimes, inputs):
    found = []
    for runtime in (runtimes["torch"], runtimes["native"]):
        features = runtime.encode_image(inputs["image"])
        latent = runtime.fuse(features, inputs["proprio"])
        found.append(
            [features, latent, runtime.rollout(inputs["z"], inputs["actions"], inputs["c"])]
        )
    for torch_result, native_result in zip(*found, strict=True):
        assert np.abs(torch_result - native_result).max() < 0.05


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_rollout_is_repeated_steps_and_its_cost_their_sum(runtimes, backend, inputs):
    runtime, c = runtimes[backend], inputs["c"]
    latents = runtime.rollout(inputs["z"], inputs["actions"], c)
    z = inputs["z"][None]
    for action, latent in zip(inputs["actions"], latents, strict=True):
        z = runtime.dynamics.step(z, action[None], c)
        assert np.allclose(z[0], latent, atol=1e-6)
    expected = runtime.dynamics.cost(latents, c).sum()
    expected += 0.5 * runtime.dynamics.value(latents[-1:], c)[0]
    total = runtime.dynamics.rollout_cost(inputs["z"], inputs["actions"][None], c, 0.5)
    assert total == pytest.approx([expected], abs=1e-4)


@pytest.mark.parametrize("backend", HOST_BACKENDS)
@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((32, 64, 3), np.uint8), r"uint8 \(32, 64, 3\).*\(64, 64, 3\)"),
        (np.zeros((64, 64, 3), np.float32), "float32"),
        ([[0]], "list"),
    ],
)
def test_a_wrong_image_is_refused_in_words(runtimes, backend, image, said):
    with pytest.raises(SdiwmError, match=said):
        runtimes[backend].encode_image(image)


@pytest.mark.parametrize("backend", HOST_BACKENDS)
def test_bad_numbers_are_refused_in_words(runtimes, backend, inputs):
    runtime, features = runtimes[backend], np.zeros(64, np.float32)
    nan = np.array([np.nan] * 8, np.float32)
    with pytest.raises(SdiwmError, match="proprio holds a NaN"):
        runtime.fuse(features, nan)
    with pytest.raises(SdiwmError, match=r"proprio has shape \(7,\).*\(8\)"):
        runtime.fuse(features, nan[:7])
    with pytest.raises(SdiwmError, match="features is a list"):
        runtime.fuse([0.0] * 64, nan)
    with pytest.raises(SdiwmError, match=r"actions has shape \(2, 3\).*\(any, 4\)"):
        runtime.rollout(inputs["z"], np.zeros((2, 3), np.float32), inputs["c"])
    with pytest.raises(SdiwmError, match="z has shape"):
        runtime.rollout(features, inputs["actions"], inputs["c"])


def test_an_unknown_back_end_is_refused_in_words(bundle):
    with pytest.raises(SdiwmError, match="'tpu'.*torch, onnx, native"):
        load_runtime(bundle, "tpu")


@pytest.mark.parametrize("backend", HOST_BACKENDS)
def test_a_tampered_or_truncated_graph_is_refused_before_it_runs(bundle, tmp_path, backend):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    graph = copy / "step.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(SdiwmError, match="step.onnx.*sha256"):
        load_runtime(copy, backend)


def test_a_missing_bundle_is_refused_in_words(tmp_path):
    with pytest.raises(SdiwmError, match="nothing_here"):
        load_runtime(tmp_path / "nothing_here", "onnx")


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
from sdiwm_model.errors import InstructionError
from sdiwm_model.runtime.load import load_runtime
runtime = load_runtime(sys.argv[1], sys.argv[2])
features = runtime.encode_image(np.zeros((64, 64, 3), np.uint8))
z = runtime.fuse(features, np.zeros(8, np.float32))
try:
    c = runtime.condition("touch the red target")
except InstructionError:
    c = np.zeros(16, np.float32)
plan = runtime.make_planner(runtime.manifest.planner, 0).plan(z, c, None)
assert plan.actions.shape == (4, 4)"""


def run_without_torch(bundle, backend):
    command = [sys.executable, "-c", WITHOUT_TORCH, str(bundle), backend]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("backend", ["onnx", "native"])
def test_a_robot_without_torch_sees_listens_and_plans(bundle, backend):
    result = run_without_torch(bundle, backend)
    assert result.returncode == 0, result.stderr


def test_a_robot_without_torch_is_told_which_back_ends_it_has(bundle):
    result = run_without_torch(bundle, "torch")
    assert "--backend native or onnx" in result.stderr.splitlines()[-1]
