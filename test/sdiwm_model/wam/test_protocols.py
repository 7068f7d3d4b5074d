"""Step pairs: which are understood, and which are refused in words."""

import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.wam.protocols import StepPair, parse_steps


def test_a_pair_is_read_from_text():
    assert parse_steps("1x2") == StepPair(1, 2)
    assert parse_steps("0x4") == StepPair(0, 4, "prefill")
    assert parse_steps("0x1", "policy") == StepPair(0, 1, "policy")


@pytest.mark.parametrize("text", ["", "1", "x", "1x", "ax2", "1x2x3", "-1x2"])
def test_text_of_another_form_is_refused(text):
    with pytest.raises(SdiwmError, match="VIDEOxACTION"):
        parse_steps(text)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ((1, 0), "action steps are 0: use a whole number from 1"),
        ((101, 1), "video steps are 101"),
        ((1.0, 1), "video steps are 1.0"),
        ((1, 1, "dream"), "unknown mode 'dream'"),
        ((1, 1, "policy"), "'policy' takes no video steps"),
        ((0, 1, "inverse"), "'inverse' needs video steps"),
        ((0, 1), "'joint' needs video steps"),
    ],
)
def test_a_pair_that_contradicts_itself_is_refused(fields, told):
    with pytest.raises(SdiwmError, match=told):
        StepPair(*fields)
