"""Play a bag's sensors and instructions to the nodes again: the same seed gives the same plans.

The nodes observer, language_goal and planner run as processes of their own in a ROS domain of their
own, on the bag's time, without latency compensation and in lockstep: the next observation is sent
when the last one is answered. So the plans are a function of bag, model, back end and seed, bit for
bit, and the digest that is printed tells two replays apart.

A bag that was recorded from the planner's start, by `latency_compensation: false`, with the same
model, back end and seed, is also compared plan by plan with what was planned then. Exit status 1
says that a plan is another.
"""

import argparse
from pathlib import Path
from typing import Any

HELP = "replay a bag into the nodes: same seed, same plans"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("bag", type=Path, help="folder of a bag, or a .mcap file")
    parser.add_argument("--task", default="reach", help="whose shipped model plans")
    parser.add_argument("--backend", default="native", help="torch, onnx, native, wam or wam+mppi")
    parser.add_argument("--model", default="", metavar="FOLDER", help="another bundle")
    parser.add_argument("--robot", default="", metavar="NAME", help="another robot description")
    parser.add_argument("--seed", type=int, default=0, help="of the planner")
    parser.add_argument("--namespace", default="", metavar="NAME", help="of the topics in the bag")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every plan's CRC-32 here")


def run(args: argparse.Namespace) -> int:
    """Replay; 1 where a plan differs from the recorded one."""
    from sdiwm_model.files import check_writable, write_json
    from sdiwm_ros.replaying import ReplaySettings, replay

    if args.json is not None:
        check_writable("--json", args.json)
    settings = ReplaySettings(
        args.bag, args.task, args.backend, args.model, args.robot, args.seed, args.namespace
    )
    result = replay(settings)
    _tell(result)
    if args.json is not None:
        write_json(args.json, result)
    return 1 if result["different"] else 0


def _tell(result: dict[str, Any]) -> None:
    count = len(result["plans"])
    print(f"{count} plans, {result['refused']} observations refused")
    print(f"digest of all plans: {result['digest']}")
    if result["objection"]:
        print(f"not compared with the recorded plans: {result['objection']}")
    else:
        compared = result["same"] + result["different"]
        print(f"{result['same']} of {compared} recorded plans came out again, bit for bit")
