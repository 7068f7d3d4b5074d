"""The lifecycle and the parameters of running nodes, through the services that `ros2` uses."""

import signal

import pytest

pytest.importorskip("rclpy")
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.node import NodeNameNonExistentError
from rclpy.parameter import Parameter

from sdiwm_ros.diagnostics import PERIOD, Level
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.monitor import Monitor

WAIT = {"autostart": False}
WALK = [
    ("configure", "inactive"),
    ("activate", "active"),
    ("deactivate", "inactive"),
    ("activate", "active"),
    ("deactivate", "inactive"),
    ("cleanup", "unconfigured"),
]


class Operator(Monitor):
    """What `ros2 lifecycle` and `ros2 param` do."""

    def offers_of(self, node):
        """The topics and services of a node.

        Its name tells less: where a node's end is handled before the last that it said of itself,
        which Fast DDS takes in on another thread, ROS 2 lists a name with nothing behind it.
        """
        try:
            topics = self._node.get_publisher_names_and_types_by_node(node, "/")
            return topics + self._node.get_service_names_and_types_by_node(node, "/")
        except NodeNameNonExistentError:
            return []

    def state_of(self, node):
        return self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def ask(self, node, label):
        request = ChangeState.Request(transition=Transition(label=label))
        return self.call(ChangeState, f"{node}/change_state", request).success

    def set(self, node, name, value):
        message = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        return self.call(SetParameters, f"{node}/set_parameters", request).results[0]


def test_a_node_that_waits_for_a_manager_goes_where_it_is_asked_and_back(scripted, until, tmp_path):
    environment = private_environment()
    graph = Graph({"observer": WAIT}, environment, tmp_path, ["observer"])
    with graph, Operator(environment) as operator:
        assert operator.state_of("observer") == "unconfigured"
        for _ in range(2):
            for label, state in WALK:
                assert operator.ask("observer", label)
                assert operator.state_of("observer") == state
        until(operator, lambda: operator.health_of("observer").message == "unconfigured")
        assert operator.ask("observer", "shutdown")
        assert graph.wait("observer", 20) == 0


def test_a_node_that_cannot_be_configured_says_why_and_can_be_put_right(scripted, until, tmp_path):
    environment = private_environment()
    given = {"planner": WAIT | {"task": "juggle"}}
    with Graph(given, environment, tmp_path, ["planner"]), Operator(environment) as operator:
        assert not operator.ask("planner", "configure")
        assert operator.state_of("planner") == "unconfigured"
        assert "juggle" in (tmp_path / "planner.log").read_text()
        assert operator.set("planner", "task", "reach").successful
        assert operator.ask("planner", "configure")
        refused = operator.set("planner", "task", "push")
        assert not refused.successful
        assert "deactivate and clean up" in refused.reason


def test_a_misspelt_parameter_is_told_at_the_start(scripted, tmp_path):
    environment = private_environment()
    given = {"observer": {"image_timout": 0.1}}
    with Graph(given, environment, tmp_path, ["observer"]), Operator(environment) as operator:
        assert operator.state_of("observer") == "active"
    log = (tmp_path / "observer.log").read_text()
    assert "'image_timout' is not known and ignored: did you mean 'image_timeout'?" in log


def test_nonsense_set_on_a_running_node_is_refused_in_words_and_counted(scripted, until, tmp_path):
    environment = private_environment()
    with Graph({}, environment, tmp_path, ["observer"]), Operator(environment) as operator:
        assert operator.state_of("observer") == "active"
        for value in ("soon", float("nan"), 17.0, -1):
            result = operator.set("observer", "image_timeout", value)
            assert not result.successful
            assert "'image_timeout' must be a decimal number, 0.03 to 1.0 s" in result.reason
        assert not operator.set("observer", "no_such_parameter", 1).successful
        assert operator.set("observer", "image_timeout", 0.5).successful
        counted = {"refused_parameters": "4"}.items()
        until(operator, lambda: counted <= operator.health_of("observer").values.items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_in_any_state_with_status_0_and_leaves_no_trace(
    scripted, until, tmp_path, number
):
    environment = private_environment()
    nodes = ["observer", "language_goal"]
    graph = Graph({"observer": WAIT}, environment, tmp_path, nodes)
    with graph, Operator(environment) as operator:
        assert operator.state_of("observer") == "unconfigured"
        assert operator.state_of("language_goal") == "active"
        for node in nodes:
            until(operator, lambda node=node: operator.offers_of(node))
            graph.signal(node, number)
            assert graph.wait(node, 20) == 0
            until(operator, lambda node=node: not operator.offers_of(node))


def test_a_model_replaced_while_it_runs_is_told_with_the_next_diagnostics(
    scripted, until, tmp_path
):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "model.json").write_text("the first")
    environment = private_environment()
    given = {"observer": {"model": str(bundle)}}
    with Graph(given, environment, tmp_path, ["observer"]), Monitor(environment) as monitor:
        until(monitor, lambda: "waiting" in monitor.health_of("observer").message)
        (bundle / "model.json").write_text("the second")
        until(monitor, lambda: "was replaced" in monitor.health_of("observer").message)
        assert monitor.health_of("observer").level is Level.WARN
    assert PERIOD <= 1.0  # s: so within 2 s, whatever the host does
