"""An operator sees who is well, how fast things go, and what has happened."""

import io

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rich")
from rich.console import Console

from sdiwm_model import cli
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.live_view import EVENTS, SILENT_AFTER, LiveView


def drawn(view, now):
    console = Console(file=io.StringIO(), width=140)
    console.print(view.draw(now))
    return console.file.getvalue()


def health(replans, message="controlling", level=Level.OK):
    values = {"replans": str(replans), "latency_p50_ms": "1.800", "latency_p99_ms": "3.000"}
    return Health(level, message, values | {"fallbacks": "0", "plan_p50_ms": "nan"})


def test_a_counter_is_shown_with_its_rate_and_a_pair_of_percentiles_as_one():
    view = LiveView()
    view.hear("planner", health(100), 10.0)
    view.hear("planner", health(350), 11.0)
    text = drawn(view, 11.0)
    assert "replans 350 (250.0)" in text
    assert "latency 1.800 / 3.000" in text
    assert "fallbacks" not in text
    assert "plan nan" not in text


def test_a_word_out_of_turn_does_not_spoil_the_rate():
    view = LiveView()
    view.hear("planner", health(100), 10.0)
    view.hear("planner", health(350), 11.0)
    view.hear("planner", health(351, "holding still", Level.ERROR), 11.004)
    assert "(250.0)" in drawn(view, 11.1)


def test_a_change_of_state_is_an_event_and_the_same_state_is_none():
    view = LiveView()
    for now, message in enumerate(("controlling", "controlling", "holding still", "controlling")):
        view.hear("planner", health(0, message), float(now))
    assert [event for _, _, event in view.events] == [
        "planner: controlling",
        "planner: holding still",
        "planner: controlling",
    ]


def test_a_node_that_falls_silent_is_shown_as_silent_until_it_is_heard_again():
    view = LiveView()
    view.hear("guard", Health(Level.OK, "follow"), 0.0)
    view.look(SILENT_AFTER - 0.1)
    assert "silent" not in drawn(view, SILENT_AFTER - 0.1)
    view.look(SILENT_AFTER + 0.1)
    assert "silent for 3 s" in drawn(view, SILENT_AFTER + 0.1)
    view.hear("guard", Health(Level.OK, "follow"), 5.0)
    view.look(5.1)
    assert "silent for" not in drawn(view, 5.1)
    assert [event for _, _, event in view.events].count("guard: silent") == 1


def test_the_newest_events_are_kept_and_the_instruction_stands_on_top():
    view = LiveView()
    for number in range(EVENTS + 3):
        view.tell(Level.OK, f"event {number}", float(number))
    view.say("touch the red one", 20.0)
    text = drawn(view, 21.0)
    assert text.splitlines()[0].strip() == "instruction: touch the red one"
    assert "event 3" not in text
    assert f"event {EVENTS + 2}" in text


def test_monitor_shows_a_running_graph(scripted, tmp_path, capsys, monkeypatch):
    environment = private_environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Graph({}, environment, tmp_path, ["language_goal"]) as graph:
        assert cli.main(["monitor", "--seconds", "8"]) == 0
        graph.check()
    said = capsys.readouterr().out
    assert "language_goal" in said
    assert "waiting for an instruction" in said
    assert f"listening in ROS domain {environment['ROS_DOMAIN_ID']}" in said


def test_nonsense_is_refused(capsys):
    assert cli.main(["monitor", "--seconds", "-1"]) == 2
    assert "--seconds -1" in capsys.readouterr().err
