"""Closed-loop episodes of a model in the simulator, without ROS.

With --say the arm is told that sentence in every episode; without, each episode draws a target
and one of the task's sentences.
"""

import argparse
from pathlib import Path
from typing import Any

from sdiwm_model.commands.arguments import BACKEND_HELP, add_port, add_wam, chosen_port, chosen_wam
from sdiwm_model.errors import SdiwmError
from sdiwm_model.goal_names import named_goal

HELP = "closed-loop episodes in the simulator, without ROS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="another bundle")
    parser.add_argument("--backend", default="native", help=BACKEND_HELP)
    add_port(parser)
    add_wam(parser)
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE",
        help="planner settings other than the bundle's, as in candidates=16 horizon=12",
    )  # fmt: skip
    parser.add_argument("--say", metavar="SENTENCE", help="the instruction of every episode")
    parser.add_argument("--episodes", type=int, default=5, metavar="N", help="episodes")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of layouts and planner")


def run(args: argparse.Namespace) -> int:
    """Run the episodes; print one line for each."""
    if args.episodes < 1 or args.seed < 0:
        raise SdiwmError("--episodes must be 1 or more, and --seed 0 or more")
    from sdiwm_model.planning.overrides import overridden
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder
    from sdiwm_sim.closed_loop import ModelController, run_episode
    from sdiwm_sim.task import make_task
    from sdiwm_sim.trials import layout_seed

    task = make_task(args.task)
    runtime = load_runtime(
        bundle_folder(args.model, args.task), args.backend, port=chosen_port(args),
        wam=chosen_wam(args),
    )  # fmt: skip
    if args.say is not None:
        runtime.condition(args.say)  # refuses an empty or unrelated sentence before the first move
    controller = ModelController(runtime, overridden(runtime.manifest.planner, args.set))
    print(f"{'episode':>7}  {'result':<22} {'seconds':>7}  {'nearest':<8} instruction")
    successes = judged = 0
    for index in range(args.episodes):
        goal = None if args.say is None else named_goal(args.say, task.goals)
        outcome = run_episode(
            task, controller, layout_seed(args.seed, index), goal, args.say,
            judged=args.say is None or goal is not None,
        )  # fmt: skip
        judged += task.goal is not None
        successes += outcome.success
        nearest = task.goals[int(task.goal_costs().argmin())]
        print(
            f"{index:>7}  {_result(task.goal, outcome):<22} {task.time:>7.2f}  {nearest:<8} "
            f"{task.instruction}",
            flush=True,
        )
    plans = sorted(controller.timings.plan_ms)
    counted = f"{successes} of {judged} succeeded; " if judged else ""
    print(f"{counted}median plan {plans[len(plans) // 2]:.2f} ms, {args.backend}")
    return 0


def _result(goal: int | None, outcome: Any) -> str:
    if goal is None:
        return "held a target" if outcome.wrong_target else "held no target"
    if outcome.success:
        return "success"
    return "held another target" if outcome.wrong_target else "not reached"
