import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("visualization_msgs")
from rclpy.serialization import deserialize_message, serialize_message
from visualization_msgs.msg import Marker, MarkerArray

from sdiwm_ros.markers import plan_markers

PATH = np.array([[0.0, 0.1, 0.2], [0.1, 0.1, 0.2], [0.2, 0.1, 0.1]], np.float32)
ACTIONS = np.array([[0.0, 0.0], [0.25, -1.0]], np.float32)


@pytest.fixture
def markers():
    """The markers as a subscriber gets them, by namespace."""
    message = plan_markers(PATH, ACTIONS, "touch the red one", "base", 1_500_000_000)
    received = deserialize_message(serialize_message(message), MarkerArray)
    assert len({(marker.ns, marker.id) for marker in received.markers}) == len(received.markers)
    return {marker.ns: marker for marker in received.markers}


def test_the_imagined_path_is_a_line_through_every_point(markers):
    line = markers["imagined_path"]
    assert line.type == Marker.LINE_STRIP
    np.testing.assert_allclose([(p.x, p.y, p.z) for p in line.points], PATH, atol=1e-7)


def test_the_plan_is_green_where_the_arm_rests_and_red_where_it_is_fastest(markers):
    dots = markers["plan"]
    assert dots.type == Marker.SPHERE_LIST
    assert len(dots.points) == len(dots.colors) == len(ACTIONS)
    resting, fastest = dots.colors
    assert (resting.r, resting.g) == (0.0, 1.0)
    assert (fastest.r, fastest.g) == (1.0, 0.0)


def test_markers_carry_frame_stamp_and_instruction_and_do_not_outlive_the_plan(markers):
    assert markers["instruction"].text == "touch the red one"
    for marker in markers.values():
        assert marker.header.frame_id == "base"
        assert (marker.header.stamp.sec, marker.header.stamp.nanosec) == (1, 500_000_000)
        assert 0 < marker.lifetime.nanosec <= 1_000_000_000
        assert marker.lifetime.sec == 0
