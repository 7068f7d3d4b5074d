"""Named sizes of a world-action model, and the widths that are refused."""

from dataclasses import replace

import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import find_size
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.sizes import WAM_SIZES, WamSize, size_for


@pytest.mark.parametrize(("name", "millions"), [("compact", (1, 2)), ("base", (2, 4))])
def test_a_named_size_has_as_many_parameters_as_it_is_for(name, millions):
    count = sum(p.numel() for p in WorldActionModel(WAM_SIZES[name]).parameters())
    assert millions[0] < count / 1e6 < millions[1]


def test_the_teacher_is_larger_but_within_ten_million():
    counts = [
        sum(p.numel() for p in WorldActionModel(WAM_SIZES[name]).parameters())
        for name in ("base", "teacher")
    ]
    assert 2 * counts[0] < counts[1] < 10e6


def test_a_size_stands_on_the_world_model_s_encoder():
    model = replace(find_size("student_64"), cameras=2, proprio=21, action=6)
    size = size_for(model, "compact", chunk=8)
    assert (size.features, size.proprio, size.action, size.chunk) == (128, 21, 6, 8)
    assert (size.seen_tokens, size.video_tokens, size.stride) == (33, 32, 4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"chunk": 7}, "'chunk' is 7: use a multiple of 'frames' = 2"),
        ({"window": 0}, "'window' is 0: use a whole number of at least 1"),
        ({"depth": 2.0}, "'depth' is 2.0"),
        ({"features": 6}, "'features' is 6: use a multiple of 8"),
    ],
)
def test_widths_that_contradict_are_refused(changes, told):
    with pytest.raises(SdiwmError, match=told):
        WamSize(**changes)


def test_an_unknown_size_or_field_is_refused():
    model = find_size("miniature")
    with pytest.raises(SdiwmError, match="unknown size 'huge'.*compact"):
        size_for(model, "huge")
    with pytest.raises(SdiwmError, match="unknown field 'layers'.*depth"):
        size_for(model, "compact", layers=3)
    with pytest.raises(SdiwmError, match="unknown field 'latent'"):
        size_for(model, "compact", latent=3)
