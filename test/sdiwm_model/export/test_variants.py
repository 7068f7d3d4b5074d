"""ONNX graphs in fewer bits: close to the float ones, smaller, and run by name."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from sdiwm_model.checkpoint import WEIGHTS, read_manifest, write_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.variants import KINDS, export_variants, rolled_out
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.session import TENSORRT, no_tensorrt, open_session
from sdiwm_model.training.finish import CALIBRATION, PICTURES


@pytest.fixture(scope="module")
def source(tmp_path_factory, random_bundle, calibration):
    """The run of the random bundle."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copyfile(random_bundle / WEIGHTS, folder / WEIGHTS)
    pictures = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3)).astype(np.uint8)
    save_file({**vars(calibration), PICTURES: pictures}, folder / CALIBRATION)
    write_manifest(folder, read_manifest(random_bundle))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, random_bundle, source):
    """A bundle with every variant, and what is told of them."""
    bundle = tmp_path_factory.mktemp("variants") / "bundle"
    shutil.copytree(random_bundle, bundle)
    return bundle, export_variants(bundle, source, KINDS, seed=0)


def test_what_is_told_of_the_variants_is_in_the_manifest(made, random_bundle):
    bundle, facts = made
    manifest = read_manifest(bundle)
    assert manifest.model_hash != read_manifest(random_bundle).model_hash
    about = manifest.provenance["variants"]
    assert about["kinds"] == facts
    assert about["onnxruntime"]
    for fact in facts.values():
        for file, size in fact["files"].items():
            assert (bundle / file).stat().st_size == size
            assert file in manifest.files
            onnx.checker.check_model(bundle / file)
        assert fact["opset"] >= 18
    assert "vision.dynamic.onnx" not in manifest.files


def test_variants_are_smaller_and_stay_close(made):
    bundle, facts = made
    whole = (bundle / "step.onnx").stat().st_size
    assert facts["fp16"]["files"]["step.fp16.onnx"] < 0.65 * whole
    for kind in ("dynamic", "qdq"):
        assert facts[kind]["files"][f"step.{kind}.onnx"] < 0.75 * whole
    assert 0 < facts["fp16"]["drift"] < 0.002 < facts["dynamic"]["drift"] < 0.05
    assert 0.002 < facts["qdq"]["drift"] < 0.02
    assert 0 < facts["fp16"]["features"] < facts["qdq"]["features"] < 0.01


def test_a_runtime_runs_the_variant_that_it_is_asked_for(made, calibration):
    bundle, _ = made
    z, c = calibration.latents[0], calibration.conditionings[0]
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    settings = PlannerSettings(candidates=64, horizon=6)
    found = {}
    for kind in (None, *KINDS):
        runtime = load_runtime(bundle, "onnx", variant=kind)
        plan = runtime.make_planner(settings, 0).plan(z, c, None)
        found[kind] = plan.actions, runtime.encode_image(picture)
    for kind in KINDS:
        apart = np.abs(found[kind][0] - found[None][0])
        assert 0 < apart.max() < 0.2
        same = (found[kind][1] == found[None][1]).all()
        assert same == (kind == "dynamic")  # whose vision is the float one


def test_layers_that_only_an_instruction_enters_stay_exact(made):
    bundle, _ = made
    graph = onnx.load(bundle / "step.qdq.onnx").graph
    floats = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    assert {f"model.{head}.{part}.weight" for head in ("cost", "value") for part in
            ("gain", "shift")} <= floats  # fmt: skip
    assert "model.dynamics.gru_input.weight" not in floats


def test_only_what_enters_a_layer_is_rounded(made):
    """Not the state itself, which would then be carried from step to step in 8 bits."""
    graph = onnx.load(made[0] / "step.qdq.onnx").graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    rounded = {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert made_by["next_z"] == "Add"
    assert rounded
    assert {made_by[name] for name in rounded} == {"Identity"}


def test_the_rollouts_are_those_of_the_recorded_actions_and_goals(made, source):
    """One goal at a time, in the order of the rows."""
    from sdiwm_model.compression.activations import Rollouts
    from sdiwm_model.export.bundle import read_calibration

    drawn = Rollouts.draw(read_calibration(source)[0], 3).some(slice(0, 9))
    runtime = load_runtime(made[0], "onnx")
    visited = rolled_out(open_session(made[0] / "step.onnx"), drawn)
    for row in range(9):
        path = runtime.rollout(drawn.starts[row], drawn.actions[row], drawn.conditionings[row])
        np.testing.assert_allclose(visited[1:, row], path, atol=1e-5)


def test_tensorrt_runs_where_it_is_and_is_refused_in_words_elsewhere(made):
    reason = no_tensorrt()
    if reason is None:
        assert load_runtime(made[0], "onnx", variant="tensorrt").backend == "onnx"
        return
    with pytest.raises(SdiwmError, match="cannot be run by TensorRT: .*onnxruntime-gpu"):
        load_runtime(made[0], "onnx", variant="tensorrt")
    with pytest.raises(SdiwmError, match=r"step\.onnx cannot be .*TensorrtExecutionProvider"):
        open_session(made[0] / "step.onnx", TENSORRT)  # which would run it on the CPU, and not say


def test_what_cannot_be_is_refused(made, source, random_bundle, tmp_path):
    with pytest.raises(SdiwmError, match="unknown variant 'int4': choose from fp16, dynamic, qdq"):
        export_variants(random_bundle, source, ["int4"], 0)
    other = tmp_path / "push"
    shutil.copytree(source, other)
    write_manifest(other, replace(read_manifest(source), task="push"))
    with pytest.raises(SdiwmError, match="is a run of the task 'push'"):
        export_variants(random_bundle, other, ["qdq"], 0)
    with pytest.raises(SdiwmError, match=r"holds no step\.onnx"):
        export_variants(source, source, ["qdq"], 0)
    with pytest.raises(SdiwmError, match="holds no variant 'qdq'"):
        load_runtime(random_bundle, "onnx", variant="qdq")
    with pytest.raises(SdiwmError, match="the back end 'native' has no variant 'qdq'"):
        load_runtime(made[0], "native", variant="qdq")
    assert set(read_manifest(random_bundle).files) == {
        path.name for path in random_bundle.iterdir()
    } - {"model.json"}
