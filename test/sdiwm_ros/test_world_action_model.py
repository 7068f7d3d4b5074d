"""The ROS graph with chunks of a world-action model, in real processes."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.wam_settings import WamSettings
from sdiwm_ros.evaluation import figures, read_measured
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.models import check_named, model_bytes, wam_settings
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.recording import load_run

SENTENCE = "touch the red target"
MODEL_NODES = ("observer", "language_goal", "planner")


def parameters(bundle, folder, backends, **planner):
    """Of every node; `backends` of observer, language_goal and planner."""
    record = {"record_to": str(folder)}
    nodes = {
        node: {"model": str(bundle), "backend": backend}
        for node, backend in zip(MODEL_NODES, backends, strict=True)
    }
    nodes["planner"] |= record | planner
    return nodes | {"simulator": record | {"instruction": SENTENCE, "episodes": 1}}


@pytest.mark.parametrize("backend", ["wam", "wam+mppi"])
def test_setpoints_keep_their_rate_while_chunks_come_late(wam_bundle, until, tmp_path, backend):
    environment = private_environment()
    late = parameters(
        wam_bundle, tmp_path, (backend, "onnx", backend), inference_delay=0.05, candidates=32
    )
    if backend == "wam":
        del late["planner"]["candidates"]
    with Graph(late, environment, tmp_path) as graph, Monitor(environment) as monitor:
        until(monitor, lambda: (graph.check(), monitor.episodes)[1], 60.0)
        health = monitor.health_of("planner").values
    results = figures([read_measured(tmp_path)])
    assert results["setpoint_hz"] >= 100
    assert results["chunk_hz"] < 25  # a model step is 40 ms
    assert (results["replan_hz"] > 50) == (backend == "wam+mppi")
    assert float(health["chunk_p50_ms"]) > 0
    if backend == "wam":
        assert results["chunk_age_ms"]["p50"] >= 50
    assert load_run(tmp_path).actions.any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "wam"}, "holds no world-action model"),
        ({"backend": "wam", "plan_source": "mcu"}, "set plan_source to host"),
    ],
)
def test_a_planner_that_cannot_make_chunks_says_why(random_bundle, tmp_path, changes, words):
    given = {"planner": {"model": str(random_bundle)} | changes}
    with Graph(given, private_environment(), tmp_path, ["planner"]) as graph:
        assert graph.wait("planner", 40) == 2
        with pytest.raises(SdiwmError, match=words):
            graph.check()


def test_what_no_node_could_run_is_refused_before_any_is_started(random_bundle, wam_bundle):
    check_named("wam", str(wam_bundle), "reach", WamSettings(delay=0.1))
    for backend, bundle, settings, words in (
        ("wam", random_bundle, WamSettings(), "no world-action model"),
        ("wam+mppi", wam_bundle, WamSettings(delay=1.0), "a chunk lasts 8 model steps"),
        ("native", wam_bundle, WamSettings(delay=0.1), "'native' makes no chunks"),
    ):
        with pytest.raises(SdiwmError, match=words):
            check_named(backend, str(bundle), "reach", settings)


def test_only_a_planner_s_parameters_ask_something_of_chunks():
    asked = {"wam_steps": "1x4", "wam_mode": "", "wam_every": 2, "wam_proposals": 3}
    asked |= {"wam_asynchronous": True, "inference_delay": 0.02}
    expected = WamSettings("1x4", "", 2, 3, 0.02, True)
    assert wam_settings({"backend": "wam"} | asked) == expected
    assert wam_settings({"backend": "wam"}) == WamSettings()
    assert wam_settings({"backend": "onnx"} | asked | {"inference_delay": 0.0}) == WamSettings()


def test_what_a_back_end_executes_is_counted(wam_bundle):
    sight = sum((wam_bundle / f"{name}.onnx").stat().st_size for name in ("vision", "fusion"))
    chunks = model_bytes(str(wam_bundle), "reach", "wam")
    assert chunks >= sight
    engine = (wam_bundle / "engine.safetensors").stat().st_size
    assert model_bytes(str(wam_bundle), "reach", "wam+mppi") == chunks + engine
