"""Watch a running graph in the terminal: health, rates, latencies, instruction, last events.

Joins the ROS domain of the environment (ROS_DOMAIN_ID). Listens to /diagnostics, instructions and
episodes only, so that watching does not slow the control loop down. Ctrl-C ends it.
"""

import argparse

from sdiwm_model.errors import SdiwmError

HELP = "watch a running ROS 2 graph in the terminal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--namespace", default="", metavar="NAME", help="of the robot: /left")
    parser.add_argument(
        "--seconds", type=float, default=0.0, metavar="S", help="end after so long; 0: at Ctrl-C"
    )


def run(args: argparse.Namespace) -> int:
    """Watch until interrupted."""
    if args.seconds < 0:
        raise SdiwmError(f"--seconds {args.seconds}: give 0 or more.")
    from sdiwm_ros.watching import watch

    watch(args.namespace, args.seconds)
    return 0
