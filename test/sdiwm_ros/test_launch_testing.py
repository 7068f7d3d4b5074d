"""The launch file under launch_testing, where that and a colcon build are there."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("launch_testing", reason="launch_testing comes with ROS 2 itself, not by pip")
pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2 itself, not by pip")
from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from sdiwm_ros.graph import private_environment


def built_by_colcon():
    try:
        prefix = Path(get_package_prefix("sdiwm_ros"))
    except PackageNotFoundError:
        return False
    return (prefix / "lib" / "sdiwm_ros" / "planner_node").exists()


@pytest.mark.skipif(not built_by_colcon(), reason="no colcon build of this package is sourced")
def test_the_launch_file_runs_an_episode_and_every_node_ends_cleanly():
    script = Path(__file__).with_name("control_launch_testing.py")
    # Its pytest plugin is older than this pytest; its own command is what ROS 2 documents.
    done = subprocess.run(
        [sys.executable, "-m", "launch_testing.launch_test", str(script)],
        env=private_environment(), capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
