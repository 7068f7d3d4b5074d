import os
import threading
from dataclasses import replace

import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation import recordings
from sdiwm_model.evaluation.recordings import Recording

RECORDING = Recording("reach", 1_000_001, 2, 3, "random=1", "bundle", "0123456789abcdef")


@pytest.fixture
def commands(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = []

    def pretend(*arguments):
        run.append(arguments)
        out = recordings.Path(arguments[arguments.index("--out") + 1])
        out.mkdir(parents=True)
        (out / "manifest.json").write_text("{}")

    monkeypatch.setattr(recordings, "run_command", pretend)
    return run


def test_the_same_episodes_are_recorded_once(commands):
    first = recordings.record(RECORDING)
    assert recordings.record(RECORDING) == first
    assert len(commands) == 1
    assert commands[0][:3] == ("collect", "--task", "reach")


def test_a_bench_waits_for_another_that_records_the_same_episodes(commands, monkeypatch):
    other = threading.Thread(target=recordings.record, args=(RECORDING,))
    record = recordings.run_command

    def while_another_asks(*arguments):
        if not commands:
            other.start()
            other.join(0.2)
            assert other.is_alive()
        record(*arguments)

    monkeypatch.setattr(recordings, "run_command", while_another_asks)
    recordings.record(RECORDING)
    other.join()
    assert len(commands) == 1


@pytest.mark.parametrize(
    "change", [{"model_hash": "f" * 16}, {"steps": 4}, {"episodes": 3}, {"mixture": "scripted=1"}]
)
def test_other_episodes_take_the_place_of_those_of_the_same_seed_a_day_later(commands, change):
    first = recordings.record(RECORDING)
    second = recordings.record(replace(RECORDING, **change))
    assert second != first
    assert first.exists()
    os.utime(first, (0, 0))
    recordings.record(replace(RECORDING, episodes=99))
    assert not first.exists()
    assert second.exists()
    assert len(commands) == 3


def test_another_seed_leaves_them_alone(commands):
    first = recordings.record(RECORDING)
    recordings.record(replace(RECORDING, seed=1_000_002))
    assert first.exists()


def test_a_decoder_needs_no_model_to_record(commands):
    recordings.decoder_folder("reach")
    assert "--model" not in commands[0]
    assert "planner" not in commands[0][commands[0].index("--mixture") + 1]
    recordings.record(RECORDING)
    assert commands[1][-2:] == ("--model", "bundle")


def test_a_command_that_fails_is_one_sentence():
    with pytest.raises(SdiwmError, match="`sdiwm collect` failed; the reason is above"):
        recordings.run_command("collect", "--out", "/nonexistent", "--mixture", "none=1")


def test_without_a_simulator_folders_are_asked_for(monkeypatch):
    monkeypatch.setattr(recordings, "SIMULATOR", "no_such_simulator")
    with pytest.raises(SdiwmError, match="name folders with --data"):
        recordings.run_command("collect")
