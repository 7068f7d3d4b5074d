"""The package installs by pip and colcon, and claims nobody else's names."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sdiwm_model import __version__

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Return a copy of what git tracks or would track, to build in without touching the tree."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    target = tmp_path_factory.mktemp("source") / "sdiwm"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(source) -> set[str]:
    """Return the names of the files in the wheel that pip builds and installs."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    out = source.parent / "wheel"
    subprocess.run([*pip, "--wheel-dir", out, source], check=True, capture_output=True, text=True)
    (built,) = out.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


def test_the_wheel_holds_the_four_rooms_and_nothing_called_sim_or_test(wheel):
    top = {name.partition("/")[0] for name in wheel if not name.startswith("sdiwm_ros-")}
    assert top == {"sdiwm_model", "sdiwm_sim", "sdiwm_ros", "mcu_firmware"}


def test_every_source_asset_and_weight_is_in_the_wheel(source, wheel):
    rooms = {
        "sdiwm_model": "sdiwm_model",
        "sim": "sdiwm_sim",
        "sdiwm_ros": "sdiwm_ros",
        "mcu_firmware": "mcu_firmware",
    }
    expected = {
        f"{package}/{path.relative_to(source / room).as_posix()}"
        for room, package in rooms.items()
        for path in (source / room).rglob("*")
        if path.is_file() and path.suffix not in (".md", ".pyc")
    }
    assert expected - wheel == set()


def test_launch_files_configuration_and_marker_are_in_the_share_folder(source, wheel):
    share = {name.partition("/data/share/")[2] for name in wheel if "/data/share/" in name}
    expected = {"ament_index/resource_index/packages/sdiwm_ros", "sdiwm_ros/package.xml"}
    for pattern in ("launch/*.py", "config/**/*"):
        found = (path for path in source.glob(pattern) if path.is_file())
        expected |= {f"sdiwm_ros/{path.relative_to(source).as_posix()}" for path in found}
    assert share == expected


def test_package_xml_and_the_code_state_one_version():
    assert f"<version>{__version__}</version>" in (ROOT / "package.xml").read_text()


def test_every_requirement_is_pinned_by_the_constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    setup = (ROOT / "setup.py").read_text()
    lists = re.findall(r"^[A-Z]+ = \[(.*?)\]$", setup, re.DOTALL | re.MULTILINE)
    names = {name.lower() for text in lists for name in re.findall(r'"([^"]+)"', text)}
    wanted = {name.partition("[")[0] for name in names}  # without a package's own extras
    assert wanted
    assert wanted <= pinned


def test_the_installed_distribution_registers_every_part_of_setup_py():
    registered = {
        (group, entry.name)
        for group in ("sdiwm.commands", "sdiwm.benches")
        for entry in entry_points(group=group)
    }
    for part in ("doctor", "collect", "data", "train", "export", "run", "demo", "bench"):
        assert ("sdiwm.commands", part) in registered
    for part in ("control", "ros", "horizon", "latency"):
        assert ("sdiwm.benches", part) in registered


@pytest.mark.skipif(
    shutil.which("colcon", path=Path(sys.executable).parent) is None, reason="colcon"
)
def test_colcon_builds_nodes_where_ros2_launch_looks(source):
    workspace = source.parent / "workspace"
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    colcon = ["colcon", "--log-base", workspace / "log", "build", "--base-paths", source]
    colcon += ["--build-base", workspace / "build", "--install-base", workspace / "install"]
    done = subprocess.run(colcon, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = workspace / "install" / "sdiwm_ros"
    nodes = {path.name for path in (prefix / "lib" / "sdiwm_ros").iterdir()}
    assert {"simulator_node", "observer_node", "language_goal_node", "planner_node"} <= nodes
    assert (prefix / "share" / "sdiwm_ros" / "package.xml").is_file()
    (packages,) = prefix.glob("lib/python3.*/site-packages")
    names = {path.name for path in packages.iterdir() if not path.name.startswith("sdiwm_ros-")}
    assert names == {"sdiwm_model", "sdiwm_sim", "sdiwm_ros", "mcu_firmware"}
