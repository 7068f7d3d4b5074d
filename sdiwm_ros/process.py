"""How every node runs: one executor, one thread for callbacks, and a clean end on a signal."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for _variable in THREAD_VARIABLES:  # read when numpy, torch and ONNX Runtime are first imported
    os.environ.setdefault(_variable, "1")

import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.signals import SignalHandlerOptions  # noqa: E402

from sdiwm_model.cli import explain  # noqa: E402
from sdiwm_model.errors import SdiwmError  # noqa: E402
from sdiwm_ros.graph import ERROR_MARK  # noqa: E402
from sdiwm_ros.realtime import quiet_collector  # noqa: E402

NEWEST = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=1
)
"""For data: a sample that was missed is worth nothing once the next one is there."""

LATCHED = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
)
"""For goals: whoever joins later hears the one in force."""

COMMANDED = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=10
)
"""For what must arrive but is not kept for latecomers."""

IDLE_WAIT = 0.1  # s: how long a signal may go unnoticed


class HostedNode(Node):
    """A node that can be asked when it next has something to do, and to end safely."""

    def idle_for(self) -> float:
        """Seconds that the executor may wait for messages before `tick` is due."""
        return IDLE_WAIT

    def tick(self) -> None:
        """Work on a deadline of the node's own; the default has none."""

    @property
    def finished(self) -> bool:
        """True when the node has ended by itself."""
        return False

    def close(self) -> None:
        """Stop what runs, then leave the robot safe. Publishers still work."""


def run_node(build: Callable[[], HostedNode], argv: Sequence[str] | None = None) -> int:
    """Run the node that `build` makes until SIGINT, SIGTERM or its own end; the exit status.

    What a person can put right is printed as one sentence; the status is then 2.
    """
    faulthandler.enable()  # a crash below Python leaves its stack in the node's log
    stop = _StopSignal()
    rclpy.init(args=sys.argv if argv is None else list(argv),
               signal_handler_options=SignalHandlerOptions.NO)  # fmt: skip
    try:
        _spin(build(), stop)
    except (SdiwmError, ImportError, OSError) as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"{ERROR_MARK}{sentence}", file=sys.stderr, flush=True)
        return 2
    finally:
        rclpy.try_shutdown()
        stop.end()
    return 0


def _spin(node: HostedNode, stop: _StopSignal) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    quiet_collector()
    try:
        while not (stop.received or node.finished):
            wait = node.idle_for()
            if wait > 0:
                executor.spin_once(timeout_sec=min(wait, IDLE_WAIT))
            node.tick()
    finally:
        node.close()
        executor.shutdown(timeout_sec=0.5)
        node.destroy_node()


class _StopSignal:
    """Notes SIGINT and SIGTERM; the loop looks at it between callbacks."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received = False
        for number in self.NUMBERS:
            signal.signal(number, self._note)

    def end(self) -> None:
        """Ignore further signals: Ctrl-C reaches a node twice, from the terminal and from launch,
        and the second one must not turn a clean end into a death.
        """
        for number in self.NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
