import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdiwm_model.compression import fixed_point, tables
from sdiwm_model.compression.integer_planner import normal_bytes, philox


@given(st.integers(-32768, 32767), st.integers(-32767, 32767))
def test_mulhrs_rounds_half_up(a, b):
    assert fixed_point.mulhrs(a, b) == math.floor(a * b / 32768 + 0.5)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 24), st.integers(0, 32767))
def test_requantise_stays_within_int16(total, shift, multiplier):
    y = int(fixed_point.requantise(total, shift, multiplier))
    assert -32768 <= y <= 32767
    if abs(total) >> shift < 32767:
        assert abs(y - (total / 2**shift) * multiplier / 32768) <= 1.5


def test_an_action_survives_its_two_integer_forms():
    a = np.array([-1.0, -0.5, 0.0, 0.25, 1.0, 3.0, -3.0], np.float32)
    expected = np.clip(a, -1, 1)
    np.testing.assert_allclose(
        fixed_point.actions_from_int16(fixed_point.actions_to_int16(a)), expected, atol=2e-5
    )
    np.testing.assert_allclose(fixed_point.actions_to_int8(a) / 127, expected, atol=0.5 / 127)


def test_latents_never_become_minus_32768():
    assert fixed_point.latent_to_q15([-1.0, -2.0, 1.0]).tolist() == [-32767, -32767, 32767]


def test_tables_are_those_that_were_shipped():
    """A libm that rounds otherwise would break bit-exactness between machines: say so here."""
    digest = hashlib.sha256()
    for table in (*tables.tanh_tables(), tables.normal_table(), tables.exp2_table()):
        digest.update(table.tobytes())
    assert digest.hexdigest()[:16] == "2dd0581e8b771b3e"


def test_tanh_and_sigmoid_are_close_odd_and_monotonic():
    x = np.arange(-32768, 32768)
    y = tables.tanh_q15(x)
    assert np.abs(y / 32768 - np.tanh(x / 8192)).max() < 7e-4  # at the ends, where the table stops
    inside = np.abs(x) < 30000
    assert np.abs(y / 32768 - np.tanh(x / 8192))[inside].max() < 2.6e-4
    assert (np.diff(y) >= 0).all()
    np.testing.assert_array_equal(y[1:], -y[1:][::-1])
    s = tables.sigmoid_q15(x)
    assert s.min() >= 0
    assert s.max() <= 32767
    assert np.abs(s / 32768 - 1 / (1 + np.exp(-x / 4096))).max() < 4e-4


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [0xFFFFFFFF] * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_vectors(counter, key, words):
    assert philox(np.array(counter), key).tolist() == words


def test_noise_is_normal_and_keyed_by_plan_step_and_iteration():
    noise = normal_bytes(2048, 0, 0, 2, (1, 0)) / tables.NORMAL_ONE
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert abs(np.corrcoef(noise.T) - np.eye(8)).max() < 0.1
    for other in [(1, 0, (1, 0)), (0, 1, (1, 0)), (0, 0, (2, 0)), (0, 0, (1, 1))]:
        assert np.mean(normal_bytes(2048, *other[:2], 2, other[2]) == noise * 40) < 0.05
