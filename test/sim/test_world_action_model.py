"""The back ends wam and wam+mppi in lockstep with the simulator."""

import json

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.wam_settings import WamSettings
from sdiwm_sim.closed_loop import ModelController, condition
from sdiwm_sim.task import make_task

STEPS = 12  # model steps of 8 ticks


def actions_of(bundle, backend, seed=3, **asked):
    """What is carried out at each tick, (n, A), and the controller that did."""
    task = make_task("reach")
    controller = ModelController(load_runtime(bundle, backend, wam=WamSettings(**asked)))
    task.reset(seed)
    controller.begin(task, seed)
    done = []
    for _ in range(STEPS * task.ticks_per_step):
        done.append(controller.act(task).copy())
        task.step(done[-1])
    return np.stack(done), controller


@pytest.mark.parametrize("backend", ["wam", "wam+mppi"])
def test_an_episode_with_a_delay_is_the_same_each_time(wam_bundle, backend):
    first, _ = actions_of(wam_bundle, backend, delay=0.1)
    again, _ = actions_of(wam_bundle, backend, delay=0.1)
    assert np.array_equal(first, again)
    prompt, _ = actions_of(wam_bundle, backend)
    assert not np.array_equal(first, prompt)


def test_there_is_a_setpoint_at_every_tick_and_a_chunk_a_model_step(wam_bundle):
    actions, controller = actions_of(wam_bundle, "wam")
    assert len(controller.timings.plan_ms) == len(actions)
    assert len(controller.timings.chunk_ms) == STEPS
    held = actions.reshape(STEPS, -1, 4)
    assert (held == held[:, :1]).all()
    assert np.ptp(held[:, 0], axis=0).min() > 0


def test_a_chunk_that_takes_long_is_made_less_often(wam_bundle):
    actions, controller = actions_of(wam_bundle, "wam", delay=0.1)
    assert len(controller.timings.chunk_ms) == STEPS // 3  # begun every third model step
    assert not actions[:20].any()  # at rest until the first
    assert actions[20:].any(axis=1).all()


def test_another_goal_on_the_way_is_followed_from_rest(wam_bundle):
    task = make_task("reach")
    runtime = load_runtime(wam_bundle, "wam", wam=WamSettings(delay=0.04))
    controller = ModelController(runtime)
    task.reset(1, 0)
    controller.begin(task, 1)
    for _ in range(40):
        task.step(controller.act(task))
    task.set_goal(2, "touch the blue target")
    controller.act(task)
    assert np.array_equal(controller._c, condition(runtime, task))
    assert not controller._plan.any()


def test_run_plays_episodes(wam_bundle, capsys):
    arguments = ["--model", str(wam_bundle), "--backend", "wam", "--episodes", "1"]
    assert cli.main(["run", *arguments, "--delay-ms", "20", "--wam", "steps=0x1"]) == 0
    assert "ms, wam" in capsys.readouterr().out.splitlines()[-1]


def test_bench_control_tells_what_a_chunk_costs_and_how_late_it_was(wam_bundle, tmp_path, capsys):
    report = tmp_path / "control.json"
    arguments = ["--model", str(wam_bundle), "--backend", "wam", "--episodes", "1"]
    arguments += ["--heldout-episodes", "0", "--delay-ms", "50", "--wam", "mode=policy"]
    arguments += ["--seeds", "0", "--json", str(report)]
    assert cli.main(["bench", "control", *arguments]) == 0
    block = json.loads(report.read_text())["results"]["reach"]
    assert block["delay_ms"] == 50
    assert block["chunk_settings"] == ["mode=policy"]
    assert 0 < block["chunk_ms"]["n"] < block["plan_ms"]["n"] / 8
    assert "one chunk p50 / p99" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["run"], ["bench", "control"]])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "wam", "--wam", "steps=2"], "not of the form VIDEOxACTION"),
        (["--backend", "wam", "--delay-ms", "5000"], "a chunk lasts 8 model steps"),
        (["--backend", "wam", "--delay-ms", "-1"], "--delay-ms is -1"),
        (["--backend", "native", "--delay-ms", "20"], "'native' makes no chunks"),
        (["--backend", "wam", "--set", "horizon=99"], "a chunk of this world-action model"),
        (["--backend", "wam+mppi", "--wam", "proposals=64"], "use 67 candidates or more"),
    ],
)
def test_what_contradicts_the_checkpoint_is_refused_before_an_episode(
    wam_bundle, command, arguments, words, capsys
):
    assert cli.main([*command, "--model", str(wam_bundle), "--episodes", "1", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "success" not in said.out


def test_a_bundle_without_one_and_an_empty_sentence_are_refused(random_bundle, wam_bundle, capsys):
    assert cli.main(["run", "--model", str(random_bundle), "--backend", "wam"]) == 2
    assert "holds no world-action model" in capsys.readouterr().err
    arguments = ["--model", str(wam_bundle), "--backend", "wam", "--say", " "]
    assert cli.main(["run", *arguments]) == 2
    assert "instruction is empty" in capsys.readouterr().err
