"""A model whose inputs no topic carries is refused before any node starts."""

from dataclasses import replace

import pytest

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size
from sdiwm_ros.models import check_carried

MANIFEST = Manifest(
    "reach", "student_64", find_size("student_64"), 0.04, ("red",), (1.0,), PlannerSettings(), {}
)


def test_one_camera_one_frame_and_words_are_carried():
    check_carried(MANIFEST)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cameras": 2}, "takes 2 cameras"),
        ({"frames": 3}, "3 frames"),
        ({"goal_image": True}, "its goal by picture"),
    ],
)
def test_what_is_not_carried_is_said(change, said):
    with pytest.raises(SdiwmError, match=rf"{said}.*: use `sdiwm run`"):
        check_carried(replace(MANIFEST, sizes=replace(MANIFEST.sizes, **change)))
