"""Starts the nodes as processes of their own, without `ros2`, and always ends them. ROS-free."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file
from sdiwm_ros.configuration import EVERY_NODE, NODES, read_defaults

ERROR_MARK = "sdiwm: error: "  # begins the one line in which a node says why it cannot run
PATIENCE = 5.0  # s for a node to end after SIGINT, before it is killed
THIS_HOST = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}  # as fastdds_local.xml says
RESERVED = 4  # domains that are held for graphs which still start

_reserved: deque[socket.socket] = deque()


def free_domain() -> int:
    """A ROS domain (1 to 100) that nobody on this host uses or, by this function, is about to."""
    domains = list(range(1, 101))
    random.SystemRandom().shuffle(domains)
    for domain in domains:
        mark = _reserve(domain)
        if mark is not None:
            _reserved.append(mark)
            if len(_reserved) > RESERVED:
                _reserved.popleft().close()
            return domain
    raise SdiwmError("every ROS domain from 1 to 100 is in use on this host; end some graphs.")


def _reserve(domain: int) -> socket.socket | None:
    """A socket that marks the domain as taken; None where it is.

    Port mapping of DDSI-RTPS 2.5, section 9.6.1: a domain has 250 ports; participant p listens on
    10 + 2 p, and below 10 only 0 and 1 are used. Nodes take seconds to listen: until then, the mark
    tells others.
    """
    first = 7400 + 250 * domain
    for participant in range(8):
        probe = _bound(first + 10 + 2 * participant)
        if probe is None:
            return None
        probe.close()
    return _bound(first + 5)


def _bound(port: int) -> socket.socket | None:
    """A socket that listens on `port`; None where another one does."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.bind(("", port))
    except OSError:
        probe.close()
        return None
    return probe


def private_environment() -> dict[str, str]:
    """Environment for a graph that meets no other: a domain of its own, this host only."""
    return os.environ | {
        "ROS_DOMAIN_ID": str(free_domain()),
        **THIS_HOST,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "FASTDDS_DEFAULT_PROFILES_FILE": _settings("fastdds_local.xml"),
    }


def joined_environment() -> dict[str, str]:
    """Environment of who joins a running graph: that of the shell, completed as launch does."""
    shell = {"ROS_DOMAIN_ID": "0", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"} | os.environ
    return shell | middleware_environment(shell)


def middleware_environment(given: Mapping[str, str]) -> dict[str, str]:
    """What to change in the environment `given` for this package's Fast DDS settings.

    config/fastdds.xml and config/fastdds_local.xml say why; settings of the user's own are kept.
    """
    if "FASTDDS_DEFAULT_PROFILES_FILE" in given:
        return {}
    if given.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST":
        return THIS_HOST | {"FASTDDS_DEFAULT_PROFILES_FILE": _settings("fastdds_local.xml")}
    return {"FASTDDS_DEFAULT_PROFILES_FILE": _settings("fastdds.xml")}


def _settings(name: str) -> str:
    return str(share_file(f"config/{name}"))


def node_command(node: str, parameter_file: Path) -> list[str]:
    """How a node is started, with the parameters of the run."""
    command = [sys.executable, "-m", "sdiwm_ros.start", node]
    return [*command, "--ros-args", "--params-file", str(parameter_file)]


class Graph:
    """The node processes of one run; as a context manager it leaves none behind.

    Args:
        parameters: changes to config/control.yaml, by node and parameter.
        environment: of every process; see `private_environment`.
        log_folder: where each node's output goes, `<node>.log`.
        nodes: which of them to start.
        namespace: of all of them, such as `/left`; empty: the root.
    """

    def __init__(
        self,
        parameters: Mapping[str, Mapping[str, Any]],
        environment: Mapping[str, str],
        log_folder: Path,
        nodes: Sequence[str] = NODES,
        namespace: str = "",
    ) -> None:
        self._parameters = parameters
        self._environment = dict(environment)
        self._logs = log_folder
        self._nodes = nodes
        self._renamed = ["-r", f"__ns:={namespace}"] if namespace else []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="sdiwm-")

    def __enter__(self) -> Graph:
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for node in self._nodes:
                self._start(node)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, node: str) -> None:
        path = Path(self._scratch.name) / f"{node}.yaml"
        # One merged file: of two, rcl keeps the older value where their types differ.
        values = read_defaults(node) | dict(self._parameters.get(node, {}))
        path.write_text(yaml.safe_dump({EVERY_NODE: {"ros__parameters": values}}))
        with (self._logs / f"{node}.log").open("wb") as log:
            self._processes[node] = subprocess.Popen(
                [*self.command(node, path), *self._renamed],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to the parent alone, which then stops us
            )

    @property
    def processes(self) -> dict[str, int]:
        """The process number of every node."""
        return {node: process.pid for node, process in self._processes.items()}

    def command(self, node: str, parameter_file: Path) -> list[str]:
        return node_command(node, parameter_file)

    def check(self) -> None:
        """Raise SdiwmError, with the node's own words, where a node has ended."""
        for node, process in self._processes.items():
            status = process.poll()
            if status is not None:
                raise SdiwmError(self._last_words(node, status))

    def _last_words(self, node: str, status: int) -> str:
        lines = (self._logs / f"{node}.log").read_text(errors="replace").splitlines()
        for line in reversed(lines):
            if line.startswith(ERROR_MARK):
                return line.removeprefix(ERROR_MARK)
        said = lines[-1] if lines else "it said nothing"
        return f"node {node} ended with status {status}: {said} (see {self._logs / node}.log)"

    def signal(self, node: str, number: signal.Signals) -> None:
        """Send a signal to one node."""
        self._processes[node].send_signal(number)

    def wait(self, node: str, timeout: float = PATIENCE) -> int:
        """Wait for one node to end; its exit status."""
        return self._processes[node].wait(timeout)

    def stop(self) -> None:
        """End every node: SIGINT, and SIGKILL for one that does not answer."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._scratch.cleanup()
