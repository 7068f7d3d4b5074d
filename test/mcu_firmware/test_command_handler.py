"""What the chip does with frames, good and bad, under sanitizers; time is the test's own."""

import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.firmware.on_host import build_link
from sdiwm_model.firmware.program import Contents
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.messages import (
    COUNTERS,
    REASON_NAMES,
    Codec,
    frame,
    open_frame,
)

HASH = "0123456789abcdef"


class HostChip:
    """The handler behind a pipe."""

    def __init__(self, program, contents):
        self.codec = Codec(contents.wire_sizes)
        self.sequence = 0
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def feed(self, data, pause_ms=0):
        """Bytes after a pause -> the messages that come back."""
        self._process.stdin.write(struct.pack("<II", pause_ms, len(data)) + data)
        self._process.stdin.flush()
        (size,) = struct.unpack("<I", self._process.stdout.read(4))
        messages = []
        for encoded in self._process.stdout.read(size).split(b"\0")[:-1]:
            number, _, _, payload = open_frame(encoded)
            messages.append(self.codec.decode(number, payload))
        return messages

    def ask(self, name, pause_ms=0, **values):
        self.sequence = (self.sequence + 1) & 0xFFFF
        return self.feed(self.codec.encode(name, self.sequence, values), pause_ms)

    def counted(self):
        (name, answer) = self.ask("ReadStatistics")[-1]
        assert name == "Statistics"
        return dict(zip(COUNTERS, answer["counter"], strict=True)) | {"safe": answer["safe"]}

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0  # a sanitizer would have ended it otherwise
        self._process.stdout.close()


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
def chip(program, contents):
    chip = HostChip(program, contents)
    yield chip
    chip.close()


@pytest.fixture
def greeted(chip):
    assert [name for name, _ in chip.ask("Hello", model=bytes.fromhex(HASH))] == ["Identity"]
    return chip


@pytest.fixture
def planner(model):
    return IntegerMppi(model, PlannerSettings(candidates=9, horizon=3), 4)


@pytest.fixture
def goal(model):
    return make_goal(model, np.full(model.conditioning, 0.3, np.float32))


@pytest.fixture
def ready(greeted, planner, goal):
    words = np.frombuffer(bytes(planner.integers), "<i4")
    assert greeted.ask("SetSettings", word=words)[0][0] == "Done"
    assert greeted.ask("SetGoal", word=np.frombuffer(goal.to_bytes(), "<u4"))[0][0] == "Done"
    return greeted


def plan_fields(chip, model, **changes):
    moves = chip.codec.sizes.count("moves")
    zeros = {"plan": 0, "cold": 1, "latent": [5] * model.latent, "mean": [0] * moves}
    return zeros | changes


def refusal(messages):
    ((name, fields),) = messages
    assert name == "Refusal"
    return REASON_NAMES[fields["reason"]]


def test_a_plan_is_the_reference_s(ready, model, planner, goal):
    z = np.random.default_rng(0).integers(-32767, 32768, model.latent).astype(np.int16)
    mean = None
    for number in range(3):
        moves = np.zeros(ready.codec.sizes.count("moves"), np.int16)
        if mean is not None:
            moves[: mean.size] = mean.ravel()
        request = {"plan": number, "cold": int(mean is None), "latent": z, "mean": moves}
        ((name, reply),) = ready.ask("PlanRequest", **request)
        mean, best, _ = planner.plan(goal, z, mean)
        assert name == "Plan"
        assert reply["cost"] == best
        np.testing.assert_array_equal(reply["mean"][: mean.size], mean.ravel())


def test_nothing_is_done_before_a_handshake(chip, model):
    assert refusal(chip.ask("PlanRequest", **plan_fields(chip, model))) == "kNoHandshake"
    assert refusal(chip.ask("Hello", model=bytes(8))) == "kOtherModel"
    assert refusal(chip.ask("Heartbeat")) == "kNoHandshake"
    counted = chip.counted()
    assert (counted["plans"], counted["other_model"], counted["not_ready"]) == (0, 1, 2)


def test_a_plan_needs_goal_and_settings(greeted, model, planner):
    assert refusal(greeted.ask("PlanRequest", **plan_fields(greeted, model))) == "kNoGoal"
    words = np.frombuffer(bytes(planner.integers), "<i4")
    greeted.ask("SetSettings", word=words)
    assert refusal(greeted.ask("PlanRequest", **plan_fields(greeted, model))) == "kNoGoal"


def test_a_silent_host_makes_the_action_safe_once(ready, model):
    assert ready.ask("PlanRequest", **plan_fields(ready, model))[0][0] == "Plan"
    assert any(ready.ask("ReadStatistics")[0][1]["action"])
    assert ready.feed(b"", pause_ms=100) == []
    ((name, fields),) = ready.feed(b"", pause_ms=1)
    assert (name, fields["silent_ms"]) == ("Safe", 101)
    assert ready.feed(b"", pause_ms=500) == []
    ((_, statistics),) = ready.ask("ReadStatistics")
    assert not any(statistics["action"])
    assert ready.counted()["watchdog"] == 1


def test_a_host_that_falls_silent_within_a_frame(ready, model):
    ready.ask("PlanRequest", **plan_fields(ready, model))
    half = ready.codec.encode("Heartbeat", 999, {})[:4]
    assert [name for name, _ in ready.feed(half) + ready.feed(b"", pause_ms=101)] == ["Safe"]
    assert ready.feed(b"\0") == []  # what was begun ends as damaged
    assert ready.ask("Heartbeat")[0][0] == "Done"


def test_stop_holds_until_a_new_handshake(ready, model):
    assert ready.ask("Stop")[0][0] == "Done"
    assert refusal(ready.ask("PlanRequest", **plan_fields(ready, model))) == "kStopped"
    assert ready.counted()["safe"] == 1
    assert ready.ask("Hello", model=bytes.fromhex(HASH))[0][0] == "Identity"
    assert refusal(ready.ask("PlanRequest", **plan_fields(ready, model))) == "kNoGoal"


def test_repeated_and_late_frames_are_not_acted_on(ready, model):
    request = ready.codec.encode("PlanRequest", 1000, plan_fields(ready, model))
    assert ready.feed(request)[0][0] == "Plan"
    assert refusal(ready.feed(request)) == "kRepeated"
    assert refusal(ready.feed(ready.codec.encode("Heartbeat", 999, {}))) == "kReordered"
    ready.sequence = 1000
    counted = ready.counted()
    assert (counted["plans"], counted["repeated"], counted["reordered"]) == (1, 1, 1)


def test_sequence_numbers_wrap(greeted):
    for sequence in (20000, 40000, 60000, 65535, 0, 1):
        assert greeted.feed(greeted.codec.encode("Heartbeat", sequence, {}))[0][0] == "Done"


def test_old_versions_unknown_messages_and_wrong_sizes(greeted):
    assert refusal(greeted.feed(frame(7, 50, b"", version=0))) == "kOldVersion"
    assert refusal(greeted.feed(frame(33, 51, b""))) == "kUnknown"
    assert refusal(greeted.feed(frame(7, 52, b"xx"))) == "kWrongSize"
    assert refusal(greeted.feed(frame(5, 53, b"xx"))) == "kWrongSize"


def test_an_image_is_refused_in_words(greeted):
    assert (
        refusal(greeted.ask("ImageChunk", picture=1, offset=0, bytes=bytes(1024))) == "kNoEncoder"
    )


def test_oversized_and_damaged_frames_are_counted(greeted):
    assert greeted.feed(b"\x01" * 100_000 + b"\0") == []
    good = greeted.codec.encode("Heartbeat", 500, {})
    assert greeted.feed(bytes([good[0], good[1] ^ 1]) + good[2:]) == []
    assert greeted.feed(good[:3] + b"\0") == []
    counted = greeted.counted()
    assert (counted["oversized"], counted["corrupt"], counted["truncated"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, 0), (0, 65), (0, 2), (1, 0), (1, 17), (2, 0), (2, 17), (3, -1), (5, 32768), (7, 0),
     (9, 41), (9, -1), (12, 2), (6, -1), (8, 1 << 20)],
)  # fmt: skip
def test_settings_out_of_range(greeted, planner, index, value):
    words = np.frombuffer(bytes(planner.integers), "<i4").copy()
    words[index] = value
    ((name, fields),) = greeted.ask("SetSettings", word=words)
    assert (name, REASON_NAMES[fields["reason"]]) == ("Refusal", "kSettingRange")
    assert fields["detail"] == index


def test_latents_and_warm_starts_out_of_range(ready, model):
    latent = [0] * model.latent
    latent[3] = -32768
    refused = ready.ask("PlanRequest", **plan_fields(ready, model, latent=latent))
    assert refusal(refused) == "kLatentRange"
    mean = [0] * ready.codec.sizes.count("moves")
    mean[2] = 32513
    refused = ready.ask("PlanRequest", **plan_fields(ready, model, mean=mean))
    assert refusal(refused) == "kWarmStartRange"
    assert ready.counted()["plans"] == 0


def test_goals_out_of_range(greeted, goal):
    words = np.frombuffer(goal.to_bytes(), "<u4").copy()
    words[0] = 0x7FFFFFFF
    assert refusal(greeted.ask("SetGoal", word=words)) == "kGoalRange"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bytes_do_harm(noisy, model, data):
    chip = noisy
    kinds = st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda number, version, sequence, payload: frame(number, sequence, payload, version),
            st.integers(0, 255), st.sampled_from([0, 1, 2, 2, 2]), st.integers(0, 65535),
            st.binary(max_size=600),
        ),
    )  # fmt: skip
    for piece in data.draw(st.lists(kinds, max_size=6)):
        chip.feed(piece, data.draw(st.sampled_from([0, 0, 50, 200])))
    chip.feed(b"\0")
    assert chip.ask("Hello", model=bytes.fromhex(HASH))[-1][0] == "Identity"
    assert chip.ask("Heartbeat")[-1][0] == "Done"


@pytest.fixture(scope="module")
def noisy(program, contents):
    chip = HostChip(program, contents)
    yield chip
    chip.close()
