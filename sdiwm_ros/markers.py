"""What the planner imagines, as markers that RViz and Foxglove draw."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from sdiwm_ros.messages import time_message

LIFETIME = 0.5  # s until a marker that is not renewed vanishes: what is drawn is never old
LINE_WIDTH = 0.006  # m
DOT = 0.014  # m across, for each model step of the plan
TEXT_HEIGHT = 0.04  # m
MAGENTA = ColorRGBA(r=1.0, g=0.0, b=1.0, a=0.9)
WHITE = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)

Points = NDArray[np.floating]


def plan_markers(
    path: Points, actions: Points, instruction: str, frame: str, stamp_ns: int
) -> MarkerArray:
    """Markers of one plan.

    imagined_path   line through where the fingertip is expected, now and after every model step
    plan            a dot at the start of every step: green where the arm is to rest in it, red
                    where a joint is to move as fast as it may
    instruction     the sentence, over the end of the path

    Args:
        path: (H + 1, 3) m in `frame`.
        actions: (H, A) in [-1, 1].
        stamp_ns: of the observation that was planned on.
    """
    header = Header(stamp=time_message(stamp_ns), frame_id=frame)
    points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in path]
    line = _marker(header, "imagined_path", Marker.LINE_STRIP, LINE_WIDTH, MAGENTA)
    line.points = points
    dots = _marker(header, "plan", Marker.SPHERE_LIST, DOT, WHITE)
    dots.points = points[: len(actions)]
    dots.colors = [_effort(float(np.abs(action).max(initial=0.0))) for action in actions]
    text = _marker(header, "instruction", Marker.TEXT_VIEW_FACING, TEXT_HEIGHT, WHITE)
    end = points[-1]
    text.pose.position = Point(x=end.x, y=end.y, z=end.z + 2 * TEXT_HEIGHT)
    text.text = instruction
    return MarkerArray(markers=[line, dots, text])


def _marker(header: Header, name: str, kind: int, size: float, colour: ColorRGBA) -> Marker:
    marker = Marker(header=header, ns=name, id=0, type=kind, action=Marker.ADD, color=colour)
    marker.pose = Pose(orientation=Quaternion(w=1.0))
    marker.scale = Vector3(x=size, y=size, z=size)
    marker.lifetime = Duration(nanosec=int(LIFETIME * 1e9))
    return marker


def _effort(share: float) -> ColorRGBA:
    """Green at 0, red at 1 and beyond."""
    share = min(share, 1.0)
    return ColorRGBA(r=share, g=1.0 - share, b=0.1, a=1.0)
