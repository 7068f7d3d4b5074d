"""The reference in doc/ says what the nodes do: it is compared with running nodes."""

import ast
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
from sdiwm_model.share import share_file
from sdiwm_ros import reference
from sdiwm_ros.configuration import NODES, OPTIONAL_NODES
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.process import COMMANDED, LATCHED, NEWEST

FOLDER = Path(__file__).parents[2] / "doc" / "reference"
ALL_NODES = (*NODES, *OPTIONAL_NODES)
QUALITIES = {"newest": NEWEST, "latched": LATCHED, "reliable": COMMANDED}


def documented():
    """{node: {(kind, name, type, quality)}} of the tables in topics.md; kind: in, out, service."""
    found, node = {}, None
    for line in (FOLDER / "topics.md").read_text().splitlines():
        if line.startswith("## "):
            node = line.removeprefix("## ").strip("`")
        row = re.fullmatch(r"\| (in|out|service) \| `(\S+)` \| `(\S+)` \| (\w+|–) \| .+ \|", line)
        if row:
            found.setdefault(node, set()).add(row.groups())
    return found


def quality_of(profile):
    for name, known in QUALITIES.items():
        if (profile.reliability, profile.durability) == (known.reliability, known.durability):
            return name
    return f"{profile.reliability.name} {profile.durability.name}"


def running(graph_node, name):
    """What a running node of the root namespace offers and hears, as `documented` has it."""
    found = set()
    endpoints = {
        "out": graph_node.get_publisher_names_and_types_by_node,
        "in": graph_node.get_subscriber_names_and_types_by_node,
    }
    infos = {
        "out": graph_node.get_publishers_info_by_topic,
        "in": graph_node.get_subscriptions_info_by_topic,
    }
    if name not in graph_node.get_node_names():
        return found
    for kind, list_topics in endpoints.items():
        for topic, types in list_topics(name, "/"):
            for info in infos[kind](topic):
                if info.node_name == name:
                    found.add((kind, topic, types[0], quality_of(info.qos_profile)))
    for service, types in graph_node.get_service_names_and_types_by_node(name, "/"):
        found.add(("service", service, types[0], "–"))
    return found


def test_the_tables_name_every_topic_service_and_figure_of_the_running_nodes(
    scripted, until, tmp_path
):
    environment = private_environment()
    parameters = {
        "recorder": {"record_to": str(tmp_path), "topics": "/nothing", "keep_free": 0.0},
        "mcu_bridge": {"port": "sil"},
        "planner": {"plan_source": "mcu"},
    }

    def active(node):
        return monitor.health_of(node).values.get("state") == "active"

    pages = documented()
    common = {row for row in pages.pop("Every node") if row[1] != "/clock"}  # by use_sim_time alone
    expected = {
        node: pages.get(node, set())
        | {(kind, name.replace("<node>", node), *rest) for kind, name, *rest in common}
        for node in ALL_NODES
    }

    def as_documented(node):
        """Discovery takes its time: a node is active before all of it is known elsewhere."""
        return running(monitor._node, node) == expected[node]

    graph = Graph(parameters, environment, tmp_path, ALL_NODES)
    with graph, Monitor(environment) as monitor:
        until(monitor, lambda: graph.check() or all(map(active, ALL_NODES)), 60)
        with suppress(AssertionError):
            until(monitor, lambda: all(map(as_documented, ALL_NODES)), 10)
        for node in ALL_NODES:
            assert running(monitor._node, node) == expected[node], node
        figures = {key for node in ALL_NODES for key in monitor.health_of(node).values}

    page = (FOLDER / "diagnostics.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)`", page))
    assert {figure for figure in figures - named if not figure.startswith("chip_")} == set()


def test_the_tables_name_no_other_node():
    assert set(documented()) <= {"Every node", *ALL_NODES}


def test_the_parameters_page_is_what_the_declarations_say():
    written = (FOLDER / "parameters.md").read_text()
    assert written == reference.parameters_page(), (
        "write it anew: python -m sdiwm_ros.reference > doc/reference/parameters.md"
    )


def test_every_link_between_pages_leads_somewhere():
    root = FOLDER.parents[1]
    pages = [
        *root.glob("*.md"),
        *(root / "doc").rglob("*.md"),
        *(root / "mcu_firmware").glob("*.md"),
    ]
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_the_foxglove_layout_shows_topics_that_the_nodes_offer():
    layout = json.loads(share_file("config/foxglove.json").read_text())
    offered = {row[1] for rows in documented().values() for row in rows if row[0] == "out"}
    shown = set(re.findall(r'"(/[a-z_/]+)', json.dumps(layout["configById"])))
    assert shown
    assert shown <= offered
    panels = set(re.findall(r'"([A-Za-z0-9]+![a-z]+)"', json.dumps(layout["layout"])))
    assert panels == set(layout["configById"])


def test_the_launch_page_names_every_argument():
    source = ast.parse(share_file("launch/control.launch.py").read_text())
    tables = {
        node.target.id: [key.value for key in node.value.keys]
        for node in source.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)
    }
    declared = {"config", *tables["ARGUMENTS"], *tables["SELECTION"]}
    page = (FOLDER / "launch.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == declared
