"""The microcontroller that fails on demand, spoken to as the bridge does it."""

import time
from contextlib import suppress

import numpy as np
import pytest

from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.on_host import FAST, build_link
from sdiwm_model.firmware.program import Contents
from sdiwm_model.runtime.link import Link, RefusedError, SerialLine
from sdiwm_model.runtime.messages import Codec
from sdiwm_ros.faults.link import DELAY, FaultyChip, LineFault

HASH = "0123456789abcdef"


@pytest.fixture(scope="module")
def contents(hostile_of):
    return Contents(hostile_of(6, 3), HASH)


@pytest.fixture(scope="module")
def program(contents, tmp_path_factory):
    return build_link(contents, tmp_path_factory.mktemp("chip"), FAST)


@pytest.fixture
def chip(program, tmp_path):
    with FaultyChip(program, tmp_path / "port", seed=1) as chip:
        yield chip


@pytest.fixture
def link(chip, contents, tmp_path):
    link = Link(
        lambda: SerialLine(str(tmp_path / "port")),
        Codec(contents.wire_sizes),
        bytes.fromhex(HASH),
        timeout_s=0.1,
        tries=2,
    )
    yield link
    link.close()


def answers_within(link, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(SdiwmError):
            link.read_statistics()
            return True
    return False


def test_a_sound_line_carries_questions_and_answers(link):
    for _ in range(20):
        link.ask("Heartbeat")
    assert link.statistics.repeated == 0
    assert np.median(link.statistics.round_trip_ms) < 50


@pytest.mark.parametrize("fault", [LineFault.CUT, LineFault.GARBLED, LineFault.DELAYED])
def test_a_line_that_fails_gives_no_answer_in_time_and_later_is_sound_again(chip, link, fault):
    chip.fault = fault
    with pytest.raises(SdiwmError, match="did not answer"):
        for _ in range(50):
            link.read_statistics()  # long enough that hardly an answer comes through whole
    chip.fault = LineFault.NONE
    assert answers_within(link, 10 * DELAY)  # what was on its way comes first


def test_a_port_that_is_unplugged_is_gone_until_it_is_plugged_in_again(chip, link, tmp_path):
    chip.unplug()
    assert not (tmp_path / "port").exists()
    with pytest.raises(SdiwmError, match=r"is gone|cannot be opened"):
        link.ask("Heartbeat")
    chip.plug()
    link.ask("Heartbeat")


def test_a_chip_that_is_reset_has_forgotten_the_handshake(chip, link, contents):
    goal = make_goal(contents.model, np.zeros(contents.model.conditioning, np.float32))
    words = np.frombuffer(goal.to_bytes(), "<u4")
    link.ask("SetGoal", {"word": words})
    chip.reset()
    with pytest.raises(RefusedError) as refused:
        link.ask("SetGoal", {"word": words})
    assert refused.value.reason == "kNoHandshake"
    link.greet()
    link.ask("SetGoal", {"word": words})
