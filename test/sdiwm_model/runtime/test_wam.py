import json
import shutil

import numpy as np
import pytest

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings, Sighting, TimedPlanner
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.protocols import WAM_BACKENDS, Runtime
from sdiwm_model.runtime.wam_settings import WamSettings, read_wam_settings
from sdiwm_model.wam.checkpoint import FOLDER, MANIFEST

CHUNK = 8  # of the miniature
SMALL = PlannerSettings(candidates=32, horizon=4)


@pytest.fixture(scope="module", params=WAM_BACKENDS)
def runtime(request, wam_bundle):
    return load_runtime(wam_bundle, request.param)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    return image, rng.standard_normal(8).astype(np.float32)


def observed(runtime, scene):
    image, proprio = scene
    return runtime.fuse(runtime.encode_image(image), proprio)


def plan(planner, runtime, scene, tick=0):
    o = observed(runtime, scene)
    return planner.plan_at(
        Sighting(o, tick * 0.005, o, tick * 0.005), np.zeros(16, np.float32), None
    )


def test_a_latent_is_z_then_features_then_normalised_joints(runtime, scene, wam_bundle):
    from safetensors.numpy import load_file

    image, proprio = scene
    plain = load_runtime(wam_bundle, "onnx")
    features = plain.encode_image(image)
    weights = load_file(wam_bundle / "model.safetensors")
    joints = (proprio - weights["fusion.proprio_mean"]) / weights["fusion.proprio_std"]
    expected = np.concatenate([plain.fuse(features, proprio), features, joints])
    o = observed(runtime, scene)
    assert o.dtype == np.float32
    assert o == pytest.approx(expected, abs=1e-6)


def test_it_is_a_runtime_whose_planner_is_told_the_time(runtime, scene):
    assert isinstance(runtime, Runtime)
    planner = runtime.make_planner(SMALL, 0)
    assert isinstance(planner, TimedPlanner)
    first = plan(planner, runtime, scene)
    assert first.actions.shape == (4, 4)
    assert first.inference_s > 0
    assert plan(planner, runtime, scene, 1).inference_s == 0


def test_the_same_seed_gives_the_same_plans_and_another_one_others(runtime, scene):
    first, again, other = (
        plan(runtime.make_planner(SMALL, seed), runtime, scene).actions for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_world_model_imagines_from_the_part_that_is_its_own(runtime, scene, wam_bundle):
    o, c = observed(runtime, scene), np.zeros(16, np.float32)
    actions = np.full((3, 4), 0.5, np.float32)
    path = runtime.rollout(o, actions, c)
    plain = load_runtime(wam_bundle, "onnx")
    assert path[:, :32] == pytest.approx(plain.rollout(o[:32], actions, c), abs=1e-6)
    assert (path[:, 32:] == o[32:]).all()
    assert runtime.probe(path) == pytest.approx(plain.probe(path[:, :32]), abs=1e-6)


def test_in_a_thread_nobody_waits_for_the_first_chunk(wam_bundle, scene):
    runtime = load_runtime(wam_bundle, "wam", wam=WamSettings(asynchronous=True))
    planner = runtime.make_planner(SMALL, 0)
    assert not plan(planner, runtime, scene).actions.any()
    runtime._executor.submit(int).result()  # the chunk is there
    moving = plan(planner, runtime, scene, 1)
    assert moving.actions.any()
    lockstep = load_runtime(wam_bundle, "wam").make_planner(SMALL, 0)
    assert moving.actions == pytest.approx(plan(lockstep, runtime, scene).actions, abs=1e-6)


def test_mppi_gets_as_many_proposals_as_asked(wam_bundle, scene):
    runtime = load_runtime(wam_bundle, "wam+mppi", wam=WamSettings(proposals=7))
    planner = runtime.make_planner(SMALL, 0)
    plan(planner, runtime, scene)
    assert planner._stream.remaining(0.0).shape == (7, CHUNK, 4)
    with pytest.raises(SdiwmError, match="use 10 candidates or more"):
        runtime.make_planner(PlannerSettings(candidates=9, horizon=4), 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"horizon": CHUNK + 1}, "a chunk of this world-action model has 8 model steps"),
        ({"candidates": 64}, "planner.candidates means nothing to the back end 'wam'"),
    ],
)
def test_what_chunks_cannot_give_is_refused(wam_bundle, change, words):
    runtime = load_runtime(wam_bundle, "wam")
    with pytest.raises(SdiwmError, match=words):
        runtime.make_planner(PlannerSettings(**({"candidates": 32, "horizon": 4} | change)), 0)


def test_a_longer_horizon_of_the_bundle_itself_is_cut_to_the_chunk(wam_bundle):
    runtime = load_runtime(wam_bundle, "wam")
    object.__setattr__(runtime.manifest, "planner", PlannerSettings(horizon=16))
    assert runtime.make_planner(runtime.manifest.planner, 0).settings.horizon == CHUNK


@pytest.mark.parametrize("backend", WAM_BACKENDS)
def test_a_bundle_without_a_world_action_model_is_refused(random_bundle, backend):
    with pytest.raises(SdiwmError, match="no world-action model: train one with 'sdiwm wam'"):
        load_runtime(random_bundle, backend)


def test_a_world_action_model_s_folder_is_no_bundle(wam_bundle):
    with pytest.raises(SdiwmError, match="give the bundle that it lies in"):
        load_runtime(wam_bundle / FOLDER, "wam")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base": "0" * 16}, "stands on the encoder of bundle 0000000000000000"),
        ({"format_version": 99}, "99"),
        ({"kind": "world model"}, "kind 'world model'"),
        ({"modes": ["policy"]}, "not trained for mode 'joint'"),
    ],
)
def test_a_world_action_model_that_does_not_fit_is_refused(wam_bundle, tmp_path, change, words):
    folder = tmp_path / "bundle"
    shutil.copytree(wam_bundle, folder)
    path = folder / FOLDER / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SdiwmError, match=words):
        load_runtime(folder, "wam")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"steps": "2"}, "not of the form VIDEOxACTION"),
        ({"steps": "1x0"}, "action steps are 0"),
        ({"steps": "1x2", "mode": "policy"}, "takes no video steps"),
        ({"mode": "dreaming"}, "choose one of joint"),
        ({"proposals": 0}, "proposals is 0"),
        ({"delay": 0.4}, "a chunk lasts 8 model steps, 320 ms"),
        ({"every": 9}, "every 9 model steps"),
    ],
)
def test_settings_that_contradict_the_checkpoint_are_refused(wam_bundle, asked, words):
    with pytest.raises(SdiwmError, match=words):
        load_runtime(wam_bundle, "wam", wam=WamSettings(**asked))


def test_steps_are_the_checkpoint_s_unless_others_are_given(wam_bundle):
    manifest = load_runtime(wam_bundle, "wam").wam
    assert WamSettings().step_pair(manifest) == manifest.steps
    assert str(WamSettings(steps="0x4").step_pair(manifest)) == "0x4 prefill"
    assert str(WamSettings(mode="policy").step_pair(manifest)) == "0x2 policy"
    assert str(WamSettings(steps="2x1", mode="inverse").step_pair(manifest)) == "2x1 inverse"


def test_the_command_line_says_steps_and_delay():
    settings = read_wam_settings(["steps=1x4", "every=2"], 50.0)
    assert (settings.steps, settings.every, settings.delay) == ("1x4", 2, 0.05)
    for changes, delay, words in (
        (["pace=3"], 0.0, "setting of the world-action model 'pace=3'"),
        (["asynchronous=true"], 0.0, "NAME one of steps, mode, every, proposals"),
        ([], -1.0, "--delay-ms is -1.0"),
    ):
        with pytest.raises(SdiwmError, match=words):
            read_wam_settings(changes, delay)


@pytest.mark.parametrize("backend", ["onnx", "native", "torch"])
def test_a_back_end_without_chunks_takes_no_delay(wam_bundle, backend):
    with pytest.raises(SdiwmError, match=f"'{backend}' makes no chunks"):
        load_runtime(wam_bundle, backend, wam=WamSettings(delay=0.05))


def test_goals_shown_by_pictures_are_refused(wam_bundle):
    from dataclasses import replace

    from sdiwm_model.runtime.wam_settings import check_wam

    base = read_manifest(wam_bundle)
    shown = replace(base, sizes=replace(base.sizes, goal_image=True))
    with pytest.raises(SdiwmError, match="told its goal in words"):
        check_wam(wam_bundle, shown, "wam", WamSettings())


def test_an_empty_instruction_is_refused(runtime):
    with pytest.raises(InstructionError, match="empty"):
        runtime.condition(" ")
