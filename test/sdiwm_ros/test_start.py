"""A signal ends a node cleanly at whatever moment of its start it comes."""

import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy")
from sdiwm_ros.graph import private_environment

SLOW = """
import sys, time
import sdiwm_ros.process as process

class Slow(process.ManagedNode):
    def __init__(self):
        super().__init__("guard")
    def configure(self):
        print("configuring", flush=True)
        time.sleep(60)

sys.exit(process.run_node(Slow))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_still_being_configured_ends_at_once(number):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], env=private_environment(), stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"configuring\n"
    started = time.monotonic()
    process.send_signal(number)
    assert process.wait(5) == 0
    assert time.monotonic() - started < 2


def test_a_node_that_is_still_being_imported_ends_at_once():
    code = (
        "import sys, time; from sdiwm_ros import start; "
        "start.import_module = lambda name: (print(name, flush=True), time.sleep(60)); "
        "start.run('guard')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"sdiwm_ros.nodes.guard\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0
