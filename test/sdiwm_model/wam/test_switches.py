"""Which switches there are, and what is no such thing."""

import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.wam.switches import UNOPTIMISED, Switches


def test_the_unoptimised_model_saves_nothing():
    assert not any(value not in (False, "none", "float") for value in vars(UNOPTIMISED).values())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"precision": "int4"}, "'precision' is 'int4': choose one of float, fp16, int8"),
        ({"token_drop": "half"}, "'token_drop' is 'half'"),
        ({"streaming": 1}, "'streaming' is 1: use True or False"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(changes, told):
    with pytest.raises(SdiwmError, match=told):
        Switches(**changes)
