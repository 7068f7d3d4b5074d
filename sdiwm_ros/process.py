"""How every node runs: a lifecycle, one executor, one thread for callbacks, and a clean end."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for _variable in THREAD_VARIABLES:  # read when numpy, torch and ONNX Runtime are first imported
    os.environ.setdefault(_variable, "1")

import rclpy  # noqa: E402
from rcl_interfaces.msg import SetParametersResult  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.lifecycle import (  # noqa: E402
    LifecycleNode,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.publisher import Publisher  # noqa: E402
from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.service import Service  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402
from rclpy.subscription import Subscription  # noqa: E402
from rclpy.timer import Timer  # noqa: E402

from sdiwm_model.cli import explain  # noqa: E402
from sdiwm_model.errors import SdiwmError  # noqa: E402
from sdiwm_ros.diagnostics import DiagnosticsPublisher, Health, Level  # noqa: E402
from sdiwm_ros.graph import ERROR_MARK  # noqa: E402
from sdiwm_ros.parameters import declare, misspelt, refusal, specifications_of  # noqa: E402
from sdiwm_ros.privileges import lock_memory, pin, schedule  # noqa: E402
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

RECENT = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=64
)
"""For data of which the last quarter of a second is looked at."""

IDLE_WAIT = 0.1  # s: how long a signal may go unnoticed
EXPECTED = (SdiwmError, ImportError, OSError)  # what a person can put right
UNCONFIGURED, INACTIVE, ACTIVE = "unconfigured", "inactive", "active"
FINALIZED = "finalized"


class Interrupted(BaseException):
    """A signal came while the node was configured at start-up: nothing moves yet."""


class ManagedNode(LifecycleNode):
    """A node with the ROS 2 lifecycle; a node of this package fills in the four hooks.

        unconfigured ─configure─▶ inactive ─activate─▶ active, and back by deactivate and cleanup

    An inactive node is deaf: what it hears is subscribed to in `activate`. Whatever a hook creates
    (publishers, subscriptions, timers, services) is destroyed when its state is left. `given` holds
    the parameters' values, `active` tells whether `activate` has succeeded.
    """

    def __init__(self, kind: str) -> None:
        """kind: the node's name in config/control.yaml, whatever it is remapped to."""
        super().__init__(kind)
        self.kind = kind
        self.given = declare(self, kind)
        self.privileges: dict[str, str] = {}
        self.refusal: Exception | None = None
        self.failure: Exception | None = None
        self.refused_parameters = 0
        self._lifecycle = UNCONFIGURED
        self._made: dict[str, list[Any]] = {}
        self.diagnostics = DiagnosticsPublisher(self, self._health, self.clock)
        for sentence in misspelt(self, kind):
            self.get_logger().warning(sentence)

    def configure(self) -> None:
        """Load what is needed and make publishers; SdiwmError where that is not possible."""

    def activate(self) -> None:
        """Subscribe, and start what runs."""

    def deactivate(self) -> None:
        """Stop what runs, then leave the robot safe. Publishers still work."""

    def cleanup(self) -> None:
        """Write what is to be kept, and let go of what `configure` loaded."""

    def assess(self) -> Health:
        """The health of the active node."""
        return Health(Level.OK, "active")

    def warnings(self) -> list[str]:
        """What an operator should know of a configured node that works, the gravest first."""
        return []

    def clock(self) -> int:
        """The clock of every stamp, ns: the host's, or with `use_sim_time` that of /clock."""
        return int(self.get_clock().now().nanoseconds)

    @property
    def simulated_time(self) -> bool:
        return bool(self.get_parameter("use_sim_time").value)

    def idle_for(self) -> float:
        """Seconds that the executor may wait for messages before `tick` is due."""
        return IDLE_WAIT

    def tick(self) -> None:
        """Work on a deadline of the node's own while it is active; the default has none."""

    def fail(self, error: Exception) -> None:
        """End the process with `error`, once the robot has been left safe. Any thread may call."""
        self.failure = error

    @property
    def active(self) -> bool:
        return self._lifecycle == ACTIVE

    @property
    def finished(self) -> bool:
        """True when the node has ended by itself or was shut down."""
        return self.failure is not None or self._lifecycle == FINALIZED

    def require(self, trigger: Callable[[], TransitionCallbackReturn]) -> None:
        """Make a transition, as a lifecycle manager would; raises what prevents it."""
        if trigger() is not TransitionCallbackReturn.SUCCESS:
            raise self.refusal or RuntimeError(f"{self.kind} did not start")

    def end(self) -> None:
        """Walk down to finalized from wherever the node is."""
        if self._lifecycle == ACTIVE:
            self.trigger_deactivate()
        if self._lifecycle == INACTIVE:
            self.trigger_cleanup()
        if self._lifecycle == UNCONFIGURED:
            self.trigger_shutdown()

    def destroy_node(self) -> None:
        """With its state machine, which rclpy leaves out: the node would stay in the graph."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def set_parameters_atomically(
        self, parameter_list: list[Parameter[Any]]
    ) -> SetParametersResult:
        """Set what the node's own declarations allow now; refuse the rest in one sentence."""
        reason = refusal(
            specifications_of(self.kind), parameter_list, self._lifecycle != UNCONFIGURED
        )
        if reason:
            result = SetParametersResult(successful=False, reason=reason)
        else:
            result = super().set_parameters_atomically(parameter_list)
        if not result.successful:
            self.refused_parameters += 1
            self.get_logger().warning(f"parameter refused: {result.reason}")
        return result

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = self._enter(INACTIVE, self.configure)
        self.privileges = {
            "scheduling": schedule(self.given["realtime_priority"]),
            "memory": lock_memory(self.given["lock_memory"]),
            "cpus": pin(self.given["cpus"]),
        }
        return done

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = self._enter(ACTIVE, self.activate)
        quiet_collector()
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._leave(ACTIVE, self.deactivate, INACTIVE)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._leave(INACTIVE, self.cleanup, UNCONFIGURED)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._lifecycle == ACTIVE:
            self._leave(ACTIVE, self.deactivate, INACTIVE)
        if self._lifecycle == INACTIVE:
            self._leave(INACTIVE, self.cleanup, UNCONFIGURED)
        self._lifecycle = FINALIZED
        return TransitionCallbackReturn.SUCCESS

    def _enter(self, state: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        before = {id(entity) for entity in self._entities()}
        try:
            hook()
        except Interrupted:
            self._lifecycle = FINALIZED
            raise
        except Exception as error:  # rclpy would swallow it
            self.refusal = error
            self._destroy(e for e in self._entities() if id(e) not in before)
            self._log(error)
            return TransitionCallbackReturn.FAILURE
        self._made[state] = [e for e in self._entities() if id(e) not in before]
        self._lifecycle = state
        self.diagnostics.publish()
        return TransitionCallbackReturn.SUCCESS

    def _leave(self, state: str, hook: Callable[[], None], to: str) -> TransitionCallbackReturn:
        """What a hook that fails leaves behind is no state to stay in: the node ends."""
        try:
            hook()
        except Exception as error:
            self._log(error)
            self.fail(error)
        self._lifecycle = to
        self.diagnostics.publish()
        self._destroy(self._made.pop(state))
        return TransitionCallbackReturn.SUCCESS

    def _log(self, error: Exception) -> None:
        known = isinstance(error, EXPECTED) and explain(error)
        self.get_logger().error(known or "".join(traceback.format_exception(error)))

    def _entities(self) -> list[Any]:
        return [*self.publishers, *self.subscriptions, *self.timers, *self.services]

    def _destroy(self, entities: Iterable[Any]) -> None:
        for entity in entities:
            match entity:
                case Publisher():
                    self.destroy_publisher(entity)
                case Subscription():
                    self.destroy_subscription(entity)
                case Timer():
                    self.destroy_timer(entity)
                case Service():
                    self.destroy_service(entity)

    def _health(self) -> Health:
        if self._lifecycle != ACTIVE:
            health = Health(Level.WARN, self._lifecycle)
        else:
            health = self.assess()
        common = {
            "state": self._lifecycle,
            "refused_parameters": self.refused_parameters,
            **self.privileges,
        }
        warnings = [] if self._lifecycle == UNCONFIGURED else self.warnings()
        if warnings and health.level < Level.ERROR:
            health = replace(health, level=Level.WARN, message=f"{health.message}; {warnings[0]}")
        return replace(health, values={**health.values, **common})


def run_node(build: Callable[[], ManagedNode], argv: Sequence[str] | None = None) -> int:
    """Run the node that `build` makes until SIGINT, SIGTERM or its own end; the exit status.

    What a person can put right is printed as one sentence; the status is then 2.
    """
    faulthandler.enable()  # a crash below Python leaves its stack in the node's log
    stop = _StopSignal()
    rclpy.init(args=sys.argv if argv is None else list(argv),
               signal_handler_options=SignalHandlerOptions.NO)  # fmt: skip
    try:
        _spin(build(), stop)
    except EXPECTED as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"{ERROR_MARK}{sentence}", file=sys.stderr, flush=True)
        return 2
    finally:
        rclpy.try_shutdown()
        stop.end()
    return 0


def _spin(node: ManagedNode, stop: _StopSignal) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.given["autostart"]:
            with stop.interrupting():
                node.require(node.trigger_configure)
            node.require(node.trigger_activate)
        while not (stop.received or node.finished):
            wait = node.idle_for() if node.active else IDLE_WAIT
            if wait > 0:
                executor.spin_once(timeout_sec=min(wait, IDLE_WAIT))
            if node.active:
                node.tick()
    except Interrupted:
        return
    finally:
        node.end()
        executor.shutdown(timeout_sec=0.5)
        node.destroy_node()
    if node.failure is not None:
        raise node.failure


class _StopSignal:
    """Notes SIGINT and SIGTERM; the loop looks at it between callbacks."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received = False
        self._interrupts = False
        for number in self.NUMBERS:
            signal.signal(number, self._note)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within, a signal does not wait for the loop: it raises `Interrupted`."""
        if self.received:
            raise Interrupted
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False
        if self.received:  # an import may have swallowed the exception
            raise Interrupted

    def end(self) -> None:
        """Ignore further signals: Ctrl-C reaches a node twice, from the terminal and from launch,
        and the second one must not turn a clean end into a death.
        """
        for number in self.NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if self._interrupts:
            self._interrupts = False
            raise Interrupted
