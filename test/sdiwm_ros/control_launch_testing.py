"""A test for `launch_test`, run by test_launch_testing.py: the launch file, from start to end."""

import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from ament_index_python.packages import get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription

NODES = ("simulator", "observer", "language_goal", "planner", "guard")


@pytest.mark.launch_test
def generate_test_description():
    path = Path(get_package_share_directory("sdiwm_ros")) / "launch" / "control.launch.py"
    control = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(path)),
        launch_arguments=[("headless", "true"), ("namespace", "tested")],
    )
    return LaunchDescription([control, launch_testing.actions.ReadyToTest()])


class TestRunning(unittest.TestCase):
    def test_the_arm_ends_an_episode(self, proc_output):
        proc_output.assertWaitFor("episode 0: ", timeout=90)


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_every_node_ends_cleanly(self, proc_info):
        assert len(proc_info.process_names()) == len(NODES)
        launch_testing.asserts.assertExitCodes(proc_info)
