"""Frames survive the wire or are recognised as damaged."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdiwm_model.runtime.messages import (
    MESSAGES,
    PROTOCOL_VERSION,
    REASON_NAMES,
    REASONS,
    Codec,
    WireSizes,
    cobs_decode,
    cobs_encode,
    frame,
    open_frame,
)

CODEC = Codec(WireSizes(8, 3, 11, 3, 12, 4, 0, 64, 5))


@given(st.binary(max_size=1200))
def test_cobs_round_trip(data):
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(encoded) == data


@pytest.mark.parametrize("length", [253, 254, 255, 508, 509])
def test_cobs_at_the_edges_of_its_blocks(length):
    for data in (b"\x01" * length, b"\x01" * length + b"\0", b"\0" + b"\x01" * length):
        assert cobs_decode(cobs_encode(data)) == data


@given(st.binary(max_size=60))
def test_cobs_takes_no_nonsense(data):
    decoded = cobs_decode(data)
    assert decoded is None or len(decoded) <= len(data)


@given(st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=400), st.data())
def test_a_flipped_bit_is_noticed(number, sequence, payload, data):
    sent = frame(number, sequence, payload)[:-1]
    assert open_frame(sent) == (number, PROTOCOL_VERSION, sequence, payload)
    at = data.draw(st.integers(0, 8 * len(sent) - 1))
    damaged = bytearray(sent)
    damaged[at // 8] ^= 1 << at % 8
    assert open_frame(bytes(damaged)) is None


@given(st.integers(0, 2**32 - 1))
def test_every_message_comes_back(seed):
    random = Random(seed)
    ranges = {"u8": (0, 255), "u16": (0, 65535), "u32": (0, 2**32 - 1)}
    ranges |= {"i16": (-32768, 32767), "i32": (-(2**31), 2**31 - 1)}
    for message in MESSAGES:
        values = {}
        for field in message.fields:
            low, high = ranges[field.kind]
            count = 1 if field.count is None else CODEC.sizes.count(field.count)
            numbers = tuple(
                random.choice([low, high, random.randint(low, high)]) for _ in range(count)
            )
            values[field.name] = numbers[0] if field.count is None else numbers
        sent = CODEC.encode(message.name, 7, values)
        _, _, _, payload = open_frame(sent[:-1])
        assert CODEC.decode(message.number, payload) == (message.name, values)


def test_numbers_and_reasons_are_complete():
    assert len({message.number for message in MESSAGES}) == len(MESSAGES)
    assert len(REASONS) == len(REASON_NAMES)
    assert CODEC.decode(3, b"short") is None
    assert CODEC.decode(200, b"") is None
