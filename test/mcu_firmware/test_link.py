"""The host's side of the link, against the real command handler behind a pipe."""

import os

import numpy as np
import pytest

from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.on_host import HostLine, build_link
from sdiwm_model.firmware.program import Contents
from sdiwm_model.runtime.link import Link, RefusedError, SerialLine
from sdiwm_model.runtime.messages import Codec

HASH = "0123456789abcdef"


class PoorLine(HostLine):
    """A line to the handler; what `spoil` returns is sent, what `lose` says is dropped."""

    def __init__(self, program, spoil=lambda data: data, lose=lambda data: False):
        super().__init__(program)
        self._spoil, self._lose = spoil, lose

    def write(self, data):
        before = self._answers
        super().write(self._spoil(data))
        if self._lose(self._answers[len(before) :]):
            self._answers = before


@pytest.fixture(scope="module")
def model(hostile_of):
    return hostile_of(6, 3)


@pytest.fixture(scope="module")
def contents(model):
    return Contents(model, HASH)


@pytest.fixture(scope="module")
def program(contents, tmp_path_factory):
    return build_link(contents, tmp_path_factory.mktemp("link"))


@pytest.fixture
def connect(program, contents):
    links = []

    def make(model_hash=HASH, **line):
        link = Link(
            lambda: PoorLine(program, **line),
            Codec(contents.wire_sizes),
            bytes.fromhex(model_hash),
            timeout_s=0.01,
        )
        links.append(link)
        return link

    yield make
    for link in links:
        link.close()


def once(change, at):
    """Apply `change` to piece number `at` only."""
    seen = []

    def apply(data):
        seen.append(data)
        return change(data) if len(seen) == at else data

    return apply


def test_handshake_and_statistics(connect):
    link = connect()
    assert link.board == "host"
    assert link.identity["horizon"] == 16
    link.ask("Heartbeat")
    assert link.read_statistics()["frames"] == 3


def test_another_model_is_refused_in_words(connect):
    with pytest.raises(RefusedError, match="another one than that of the firmware"):
        connect("ffffffffffffffff")


def test_a_plan_before_its_goal_is_refused_in_words(connect):
    link = connect()
    with pytest.raises(RefusedError, match="no goal was set yet") as refusal:
        link.ask("PlanRequest", {"plan": 0, "cold": 1, "latent": [0] * 8, "mean": [0] * 96})
    assert refusal.value.reason == "kNoGoal"


def test_a_damaged_request_is_sent_again(connect):
    flip = once(lambda data: data[:2] + bytes([data[2] ^ 4]) + data[3:], at=3)
    link = connect(spoil=flip)  # pieces: delimiter, Hello, Heartbeat
    link.ask("Heartbeat")
    assert link.statistics.repeated == 1
    assert link.read_statistics()["corrupt"] == 1


def test_a_lost_answer_is_asked_for_again(connect):
    answers = []

    def second(data):
        answers.append(data)
        return len(answers) == 3

    link = connect(lose=second)
    link.ask("Heartbeat")
    assert link.statistics.repeated == 1
    assert link.read_statistics()["frames"] == 4  # the repetition had a number of its own


def test_a_damaged_answer_is_counted(connect):
    link = connect()
    link._line._answers = b"\x05abcd\0"
    link.ask("Heartbeat")
    assert link.statistics.damaged == 1


def test_a_line_that_breaks_is_opened_again(connect, model):
    link = connect()
    goal = make_goal(model, np.zeros(model.conditioning, np.float32))
    words = np.frombuffer(goal.to_bytes(), "<u4")
    link.told = b"something"
    link._line.close()
    link.ask("SetGoal", {"word": words})
    assert link.statistics.reconnected == 1
    assert link.told == b""  # a restarted chip knows nothing


def test_a_chip_that_never_answers(connect):
    with pytest.raises(SdiwmError, match="did not answer Hello within"):
        connect(lose=lambda data: True)


def test_a_serial_line_over_a_pty():
    ours, theirs = os.openpty()
    try:
        line = SerialLine(os.ttyname(theirs))
        line.write(b"\x01\x00\xff")
        assert os.read(ours, 3) == b"\x01\x00\xff"
        os.write(ours, b"\x02\x00")
        assert line.read_some(5.0)[:1] == b"\x02"
        assert line.read_some(0.0) in (b"", b"\x00")
        line.close()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_port_that_is_not_there_is_named():
    with pytest.raises(SdiwmError, match="/dev/nothing cannot be opened"):
        SerialLine("/dev/nothing")
