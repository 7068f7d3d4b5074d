import signal
from functools import partial

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
from sdiwm_model.errors import SdiwmError
from sdiwm_ros.configuration import read_defaults
from sdiwm_ros.diagnostics import Level
from sdiwm_ros.evaluation import figures, reaction_ms, read_measured
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.recording import load_run
from sdiwm_ros.signals import CommandKind

MOVING = "touch the red target"


def recorded(folder, **simulator):
    record = {"record_to": str(folder)}
    return {"simulator": record | {"instruction": MOVING} | simulator, "planner": record}


def has_heard(monitor, sentence):
    return monitor.health_of("language_goal").values.get("instruction") == sentence


def is_simulating(monitor):
    return monitor.health_of("simulator").message == "simulating"


def replans(monitor):
    return int(monitor.health_of("planner").values.get("replans", 0))


def plans_beyond(monitor, number):
    return replans(monitor) > number


def test_a_new_instruction_changes_the_target_of_a_moving_arm_within_200_ms(
    scripted, until, tmp_path
):
    environment = private_environment()
    published = []
    with Graph(recorded(tmp_path), environment, tmp_path), Monitor(environment) as monitor:
        until(monitor, lambda: replans(monitor) > 50)  # for the first goal
        for colour in ("green", "blue", "yellow"):
            sentence = f"now touch the {colour} one"
            published.append(monitor.say(sentence))
            until(monitor, partial(has_heard, monitor, sentence))
            told = replans(monitor)  # once a second; the simulator hears ten sentences in that time
            until(monitor, partial(plans_beyond, monitor, told + 50))
        until(monitor, lambda: monitor.imagined)
        told = replans(monitor)  # what is told next may be older than the last goal
        until(monitor, lambda: replans(monitor) > told + 300)
    run = load_run(tmp_path)
    reactions = reaction_ms(run, published)
    assert len(reactions) == 3
    assert max(reactions) < 200
    assert [change[1] for episode in run.episodes for change in episode.changes] == [1, 2, 3]
    # The scripted model moves the first joint by another velocity for each colour; the guard
    # changes from one to the next within the acceleration limit.
    velocities, ticks = np.unique(run.actions[:, 0].round(3), return_counts=True)
    assert len(set(velocities[ticks > 8].tolist()) - {0.0}) == 4


def test_the_loop_keeps_real_time_and_answers_observations(scripted, until, tmp_path):
    environment = private_environment()
    graph = Graph(recorded(tmp_path, episodes=1), environment, tmp_path)
    with graph, Monitor(environment) as monitor:
        until(monitor, lambda: monitor.episodes)
    measured = read_measured(tmp_path)
    assert measured.run.header["physics_dt"] == 1 / read_defaults("simulator")["physics_rate"]
    results = figures([measured])
    assert results["real_time_factor"] == pytest.approx(1.0, abs=0.02)
    assert results["replan_hz"] > 100
    assert results["setpoint_hz"] >= results["replan_hz"]
    assert results["obs_to_action_ms"]["p50"] < 20
    assert results["success"]["n"] == 1
    assert results["unanswered_observations"] < 600


def test_an_unrelated_instruction_is_reported_and_the_arm_holds_still(scripted, until, tmp_path):
    environment = private_environment()
    with Graph(recorded(tmp_path), environment, tmp_path), Monitor(environment) as monitor:
        until(monitor, lambda: is_simulating(monitor))
        monitor.say("what is the weather like?")
        until(monitor, lambda: monitor.health_of("language_goal").level is Level.ERROR)
        until(monitor, lambda: monitor.health_of("planner").level is Level.ERROR)
        until(monitor, lambda: monitor.health_of("guard").message.startswith("safe: "))
        refusals = monitor.health_of("language_goal").message, monitor.health_of("planner").message
    assert all("what is the weather like?" in words for words in refusals)
    run = load_run(tmp_path)
    assert len(run.of_kind(CommandKind.SAFE))
    assert not run.actions[-10:].any()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_planner_that_dies_or_stalls_is_answered_by_the_guard(scripted, until, tmp_path, number):
    environment = private_environment()
    with Graph(recorded(tmp_path), environment, tmp_path) as graph, Monitor(environment) as monitor:
        until(monitor, lambda: is_simulating(monitor))
        graph.signal("planner", number)
        until(monitor, lambda: monitor.health_of("guard").message.startswith("safe: no command"))
        if number is signal.SIGSTOP:
            graph.signal("planner", signal.SIGCONT)
            until(monitor, lambda: monitor.health_of("guard").level is Level.OK)
    run = load_run(tmp_path)
    planned = run.commands[run.commands[:, 1] > 0]
    silence = -1 if number is signal.SIGKILL else int(np.argmax(np.diff(planned[:, 0])))
    last_plan = planned[silence]
    hold = next(c for c in run.of_kind(CommandKind.HOLD) if c[0] > last_plan[0])
    safe = next(c for c in run.of_kind(CommandKind.SAFE) if c[0] > hold[0])
    assert (hold[0] - last_plan[0]) * 1e-6 < 130
    assert (safe[0] - hold[0]) * 1e-6 < 100
    assert ((planned[:, 0] - planned[:, 1]) * 1e-6 < 110).all()  # nothing stale, even afterwards


def test_when_the_guard_dies_the_robot_itself_comes_to_rest_within_100_ms(
    scripted, until, tmp_path
):
    environment = private_environment()
    with Graph(recorded(tmp_path), environment, tmp_path) as graph, Monitor(environment) as monitor:
        until(monitor, lambda: is_simulating(monitor))
        graph.signal("guard", signal.SIGKILL)
        until(monitor, lambda: "no command" in monitor.health_of("simulator").message)
    run = load_run(tmp_path)
    moving = np.flatnonzero(run.actions.any(axis=1))
    silence_ms = (run.tick_ns[moving[-1]] - run.commands[-1, 0]) * 1e-6
    assert silence_ms <= 100
    assert run.header["command_timeouts"] == 1


def test_when_the_observer_dies_the_planner_stops_the_arm(scripted, until, tmp_path):
    environment = private_environment()
    with Graph(recorded(tmp_path), environment, tmp_path) as graph, Monitor(environment) as monitor:
        until(monitor, lambda: is_simulating(monitor))
        graph.signal("observer", signal.SIGKILL)
        until(monitor, lambda: monitor.health_of("planner").level is Level.ERROR)
        assert "no observation" in monitor.health_of("planner").message
        until(monitor, lambda: monitor.health_of("guard").message.startswith("safe: the planner"))
    run = load_run(tmp_path)
    last_plan = run.of_kind(CommandKind.PLAN)[-1]
    first_hold = next(c for c in run.of_kind(CommandKind.HOLD) if c[0] > last_plan[0])
    assert (first_hold[0] - last_plan[1]) * 1e-6 < 150
    assert not run.actions[-10:].any()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_planner_stops_planning_then_asks_for_the_safe_action(
    scripted, until, tmp_path, number
):
    environment = private_environment()
    with Graph(recorded(tmp_path), environment, tmp_path) as graph, Monitor(environment) as monitor:
        until(monitor, lambda: is_simulating(monitor))
        graph.signal("planner", number)
        assert graph.wait("planner") == 0
        until(monitor, lambda: monitor.health_of("guard").message.startswith("safe:"))
    kinds = load_run(tmp_path).commands[:, 2].tolist()
    safe = tuple(CommandKind).index(CommandKind.SAFE)
    plan = tuple(CommandKind).index(CommandKind.PLAN)
    assert kinds[-1] == safe
    assert plan in kinds


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "juggle"}, "juggle"),
        ({"command_timeout": 5.0}, "command_timeout"),
        ({"seed": "many"}, "seed"),
    ],
)
def test_a_node_that_cannot_start_says_why_in_one_sentence(tmp_path, changes, words):
    environment = private_environment()
    with Graph({"simulator": changes}, environment, tmp_path, ["simulator"]) as graph:
        assert graph.wait("simulator", 20) == 2
        with pytest.raises(SdiwmError, match=words):
            graph.check()


def test_no_process_outlives_the_graph(scripted, tmp_path):
    with Graph({}, private_environment(), tmp_path) as graph:
        processes = list(graph._processes.values())
        assert len(processes) == 5
    assert all(process.poll() is not None for process in processes)
