import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from sdiwm_model.compression.fixed_point import (
    actions_from_int16,
    actions_to_int8,
    actions_to_int16,
    latent_from_q15,
    latent_to_q15,
)
from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.integer_reference import IntegerModel, fusion_inputs
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.codegen import generate
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import Dynamics, Planner, PlannerSettings
from sdiwm_model.runtime import build
from sdiwm_model.runtime.native import NativeDynamics, NativeEngine

SMALL = PlannerSettings(candidates=96, horizon=6)


@pytest.fixture(scope="module")
def engine(quantised):
    return NativeEngine(quantised)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sdiwm"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Make $CXX a script with this body."""

    def make(body):
        script = tmp_path / "compiler"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setenv("CXX", str(script))

    return make


def test_fuse_rollout_and_heads_are_the_reference(engine, calibration):
    model, c = IntegerModel(engine.model), calibration.conditionings[0]
    x = fusion_inputs(engine.model, calibration.features[0], calibration.proprio[0])
    z = engine.fuse(calibration.features[0], calibration.proprio[0])
    np.testing.assert_array_equal(z, latent_from_q15(model.fuse(x)))
    state = latent_to_q15(z)[None]
    path = model.rollout(model.goal(c), state, actions_to_int8(calibration.actions[:1]))
    np.testing.assert_array_equal(
        engine.rollout(z, calibration.actions[0], c), latent_from_q15(path)[0]
    )
    dynamics = NativeDynamics(engine)
    ends = latent_from_q15(path)[0]
    unit = float(engine.model.goal.cost_unit)
    expected = (model.cost(model.goal(c), path[0]) * unit).astype(np.float32)
    np.testing.assert_array_equal(dynamics.cost(ends, c), expected)
    batch = calibration.latents[:5], calibration.actions[:5, 0]
    stepped = model.step(model.goal(c), latent_to_q15(batch[0]), actions_to_int8(batch[1]))
    np.testing.assert_array_equal(dynamics.step(*batch, c), latent_from_q15(stepped))


def test_plans_are_the_reference_with_its_warm_starts(engine, calibration):
    c, z = calibration.conditionings[0], calibration.latents[0]
    reference, planner = IntegerMppi(engine.model, SMALL, 9), engine.make_planner(SMALL, 9)
    warm = np.linspace(-1.5, 1.5, 24, dtype=np.float32).reshape(6, 4)
    for start in (None, warm, warm * 0.3):
        mean = None if start is None else actions_to_int16(start)
        goal = reference.model.goal(c)
        expected, cost, _ = reference.plan(goal, latent_to_q15(z), mean)
        plan = planner.plan(z, c, start)
        np.testing.assert_array_equal(plan.actions, actions_from_int16(expected))
        assert plan.cost == cost * float(engine.model.goal.cost_unit)
        assert plan.elapsed_s > 0


def test_it_is_a_planner_and_a_dynamics(engine):
    assert isinstance(engine.make_planner(SMALL, 0), Planner)
    assert isinstance(NativeDynamics(engine), Dynamics)


def test_the_same_seed_gives_the_same_plans_and_another_does_not(engine, calibration):
    c, z = calibration.conditionings[0], calibration.latents[0]

    def plans(seed):
        planner = engine.make_planner(SMALL, seed)
        return np.stack([planner.plan(z, c).actions for _ in range(3)])

    np.testing.assert_array_equal(plans(1), plans(1))
    assert not np.array_equal(plans(1), plans(2))
    assert not np.array_equal(*plans(1)[:2])  # the number of the plan is in the noise's key


def test_a_new_instruction_takes_effect_at_once(engine, calibration):
    first, second = calibration.conditionings[:2]
    z = calibration.latents[0]
    changed, fresh = (engine.make_planner(SMALL, 1) for _ in range(2))
    changed.plan(z, first)
    fresh.plan(z, second)
    now, expected = changed.plan(z, second), fresh.plan(z, second)
    np.testing.assert_array_equal(now.actions, expected.actions)


def test_planning_beats_standing_still_and_the_float_planner_agrees(engine, calibration):
    c, z = calibration.conditionings[0], calibration.latents[0]
    dynamics = NativeDynamics(engine)
    settings = PlannerSettings(candidates=256, horizon=8)
    native, general = engine.make_planner(settings, 0), Mppi(dynamics, settings, 0)
    plans = [None, None]
    for _ in range(8):
        plans = [
            planner.plan(z, c, plan).actions
            for planner, plan in zip((native, general), plans, strict=True)
        ]
    still, by_native, by_general = dynamics.rollout_cost(
        z, np.stack([np.zeros((8, 4), np.float32), *plans]), c
    )
    assert by_native < still
    assert abs(by_native - by_general) < 0.1 * (still - by_general)


def test_planners_in_two_threads_do_not_disturb_each_other(engine, calibration):
    z = calibration.latents
    expected = [
        engine.make_planner(SMALL, i).plan(z[i], calibration.conditionings[i]) for i in (0, 1)
    ]
    wrong = []

    def work(i):
        for _ in range(50):
            plan = engine.make_planner(SMALL, i).plan(z[i], calibration.conditionings[i])
            if not np.array_equal(plan.actions, expected[i].actions):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_bad_input_is_one_sentence(engine, calibration):
    z, c = calibration.latents[0], calibration.conditionings[0]
    planner = engine.make_planner(SMALL, 0)
    with pytest.raises(SdiwmError, match="z has shape"):
        planner.plan(z[:5], c)
    with pytest.raises(SdiwmError, match="z holds NaN"):
        planner.plan(np.where(np.arange(32) == 3, np.nan, z), c)
    with pytest.raises(SdiwmError, match="conditioning"):
        planner.plan(z, c[:3])
    with pytest.raises(SdiwmError, match="warm start has shape"):
        planner.plan(z, c, np.zeros((3, 4), np.float32))
    with pytest.raises(SdiwmError, match="warm_start holds NaN"):
        planner.plan(z, c, np.full((6, 4), np.inf, np.float32))
    with pytest.raises(SdiwmError, match="NaN or infinity"):
        engine.fuse(np.full(64, np.nan, np.float32), calibration.proprio[0])
    with pytest.raises(SdiwmError, match="fuse takes"):
        engine.fuse(np.zeros(63, np.float32), calibration.proprio[0])
    with pytest.raises(SdiwmError, match="horizon"):
        engine.rollout_cost(z, np.zeros((2, 65, 4), np.float32), c)
    with pytest.raises(SdiwmError, match="actions has shape"):
        engine.rollout(z, np.zeros((5, 3), np.float32), c)


def test_the_library_is_built_once_and_found_again(hostile, empty_cache):
    generated = generate(hostile)
    library = build.build_library(generated)
    stamp = library.stat().st_mtime_ns
    began = time.perf_counter()
    assert build.build_library(generated) == library
    assert time.perf_counter() - began < 2.0
    assert library.stat().st_mtime_ns == stamp
    assert [p.name for p in empty_cache.iterdir()] == [library.name]


def test_another_model_or_other_flags_are_another_library(
    hostile, quantised, compiler, empty_cache
):
    compiler('case "$1" in --version) echo fake; exit;; esac; for last; do :; done; : > "$last"')
    built = {
        build.build_library(generate(hostile)),
        build.build_library(generate(quantised)),
        build.build_library(generate(hostile), ("-DX",)),
    }
    assert len(built) == 3


def test_a_broken_compiler_gives_one_sentence_and_leaves_no_file(hostile, compiler, empty_cache):
    compiler('case "$1" in --version) echo fake; exit 0;; esac; echo "x: error: boom" >&2; exit 1')
    with pytest.raises(SdiwmError) as refused:
        build.build_library(generate(hostile))
    message = str(refused.value)
    assert "boom" in message
    assert "apt-get install g++" in message
    assert "\n" not in message
    assert not list(empty_cache.iterdir())


def test_a_full_disk_is_not_blamed_on_the_compiler(hostile, compiler, empty_cache):
    failure = 'echo "ld: error: final link failed: No space left on device" >&2; exit 1'
    compiler(f'case "$1" in --version) echo fake; exit 0;; esac; {failure}')
    with pytest.raises(SdiwmError, match="No space left on device.*free some space"):
        build.build_library(generate(hostile))
    assert not list(empty_cache.iterdir())


def test_no_compiler_gives_one_sentence(hostile, monkeypatch, empty_cache):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SdiwmError, match=r"install g\+\+ \(`sudo apt-get install g\+\+`\)"):
        build.build_library(generate(hostile))


def test_a_cache_that_cannot_be_written_gives_one_sentence(hostile, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SdiwmError, match="XDG_CACHE_HOME"):
        build.build_library(generate(hostile))


def test_a_damaged_library_is_named(hostile, compiler, empty_cache):
    compiler('case "$1" in --version) echo fake; exit;; esac; for last; do :; done; : > "$last"')
    with pytest.raises(SdiwmError, match="delete it"):
        NativeEngine(hostile)


def test_onnx_runtime_does_not_report_to_its_maker():
    code = "import os, sdiwm_model; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "1\n"


def test_the_engine_needs_no_torch():
    code = "import sys, sdiwm_model.runtime.native; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
