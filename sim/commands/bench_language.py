"""Whether words have consequences, imagined and real: opposite sentences from the same start."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdiwm_model.planning.protocols import Array
    from sdiwm_model.runtime.protocols import Runtime
    from sdiwm_sim.language import Ends, Pair
    from sdiwm_sim.task import Task

HELP = "consequences of words: opposite and unseen sentences from the same start"
TRANSITION_STEPS = 100
PARAPHRASES = 20  # pairs of sentences for the same goal, imagined for comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task with several goals")
    parser.add_argument("--backend", default="native", help="torch, onnx or native")
    parser.add_argument("--model", type=Path, metavar="DIR", help="another bundle")
    parser.add_argument(
        "--episodes", type=int, default=20, metavar="N",
        help="starts for each seed and kind of sentence, run twice",
    )  # fmt: skip
    parser.add_argument(
        "--imagined-steps", type=int, metavar="K",
        help="model steps that are imagined; half the task's time limit where this is not given",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for the task."""
    if args.episodes < 1:
        raise SdiwmError("--episodes must be 1 or more")
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder
    from sdiwm_sim.language import KINDS, draw_pairs
    from sdiwm_sim.task import make_task

    task = make_task(args.task)
    pairs = {kind: draw_pairs(task, args.seeds, args.episodes, kind) for kind in KINDS}
    runtime = load_runtime(bundle_folder(args.model, args.task), args.backend)
    steps = args.imagined_steps or round(task.time_limit / 2 / runtime.manifest.dt)
    plain = [runtime.condition(task.train_instructions(g)[0]) for g in range(len(task.goals))]
    opposite = {
        kind: _consequences(task, runtime, drawn, steps, args.seeds[0], kind)
        for kind, drawn in pairs.items()
    }
    block = {
        "opposite": opposite,
        "paraphrase": _paraphrases(task, runtime, pairs["heldout"][:PARAPHRASES], steps),
        "grounding": _grounding(task, runtime, plain),
        "transition": _transition(task, runtime, pairs["plain"], plain, args.seeds[0]),
        "imagined_steps": steps,
        "model_hash": runtime.manifest.model_hash,
        "backend": args.backend,
    }
    return {args.task: block}


def _consequences(
    task: Task, runtime: Runtime, pairs: Sequence[Pair], steps: int, seed: int, kind: str
) -> dict[str, Any]:
    from tqdm import tqdm

    from sdiwm_sim.closed_loop import ModelController
    from sdiwm_sim.language import imagined_ends, real_ends, understand

    controller = ModelController(runtime)
    imagined, real, refused = [], [], 0
    for pair in tqdm(pairs, desc=f"{kind:<8}", unit="pair", disable=None):
        told = [understand(runtime, sentence) for sentence in pair.sentences]
        understood = [c for c in told if c is not None]
        refused += len(told) - len(understood)
        if len(understood) == len(told):
            imagined.append(imagined_ends(task, runtime, pair, understood, steps))
        real.append(real_ends(task, controller, pair))
    return {
        "imagined": _figures(imagined, seed),
        "real": _figures(real, seed),
        "refused": refused / (2 * len(pairs)),
        "example": list(pairs[0].sentences),
    }


def _figures(ends: Sequence[Ends], seed: int) -> dict[str, Any]:
    """Shares of runs, `followed` of pairs; see `Ends`. Metres between the two ends of a pair."""
    from sdiwm_model.report import bootstrap_interval, rate

    if not ends:
        shares = dict.fromkeys(("own", "other", "reached", "followed"), rate(0, 0))
        return shares | {"apart_m": None}
    apart = [each.apart for each in ends]
    return {
        "own": rate(sum(sum(each.own) for each in ends), 2 * len(ends)),
        "other": rate(sum(sum(each.other) for each in ends), 2 * len(ends)),
        "reached": rate(sum(sum(each.reached) for each in ends), 2 * len(ends)),
        "followed": rate(sum(each.followed for each in ends), len(ends)),
        "apart_m": {
            "mean": sum(apart) / len(apart),
            "ci95": bootstrap_interval(apart, seed),
            "n": len(apart),
        },
    }


def _paraphrases(task: Task, runtime: Runtime, pairs: Sequence[Pair], steps: int) -> dict[str, Any]:
    """As far apart as two imagined ends are when both sentences ask for the same."""
    from dataclasses import replace

    from sdiwm_sim.language import imagined_ends, understand

    apart = []
    for pair in pairs:
        goal = pair.goals[0]
        told = [
            understand(runtime, s) for s in (pair.sentences[0], task.train_instructions(goal)[0])
        ]
        understood = [c for c in told if c is not None]
        if len(understood) == 2:
            same = replace(pair, goals=(goal, goal))
            apart.append(imagined_ends(task, runtime, same, understood, steps).apart)
    return {"imagined_apart_m": sum(apart) / len(apart) if apart else None, "n": len(apart)}


def _grounding(task: Task, runtime: Runtime, plain: Sequence[Array]) -> dict[str, Any]:
    """What held-out sentences are taken for; `unrelated_refused` is a share of 0 to 1."""
    from dataclasses import asdict

    from tqdm import tqdm

    from sdiwm_model.report import rate
    from sdiwm_sim.language import HELDOUT_UNRELATED, ground, understand

    goals = range(len(task.goals))
    said = [(sentence, goal) for goal in goals for sentence in task.heldout_instructions(goal)]
    found = [understand(runtime, s) for s, _ in tqdm(said, desc="heldout", disable=None)]
    figures = asdict(ground(found, [goal for _, goal in said], plain))
    figures["sentences"] = len(said)
    strange = HELDOUT_UNRELATED.get(task.name, task.unrelated_instructions)()
    refused = [understand(runtime, s) is None for s in tqdm(strange, desc="strange", disable=None)]
    figures["unrelated_refused"] = rate(sum(refused), len(refused))
    return figures


def _transition(
    task: Task, runtime: Runtime, pairs: Sequence[Pair], plain: Sequence[Array], seed: int
) -> dict[str, Any]:
    """How much of a predicted motion is owed to the words alone, after 1, 10, .. model steps."""
    import numpy as np

    from sdiwm_sim.language import observe, words_in_transition

    starts = []
    for pair in pairs:
        task.reset(pair.layout, pair.goals[0])
        starts.append(observe(task, runtime))
    shares = words_in_transition(runtime, np.stack(starts), plain, TRANSITION_STEPS, seed)
    return {f"words_share_at_{k}": float(shares[k - 1]) for k in (1, 16, TRANSITION_STEPS)}


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for task, block in results.items():
        print(f"sdiwm bench language: {task}, {block['backend']}, model {block['model_hash']}")
        for kind, figures in block["opposite"].items():
            first, second = figures["example"]
            print(f'  {kind}: "{first}" / "{second}"')
            for where in ("imagined", "real"):
                print(f"    {where:<9} {_ends_line(figures[where])}")
        apart = block["paraphrase"]["imagined_apart_m"]
        if apart is not None:
            print(f"  the same asked in other words: imagined ends {100 * apart:.2f} cm apart")
        grounding = block["grounding"]
        print(
            f"  {grounding['sentences']} unseen sentences: {grounding['accuracy']:.1%} understood, "
            f"{grounding['refused']:.1%} refused; unrelated refused "
            f"{grounding['unrelated_refused']['mean']:.1%}"
        )
        print(
            f"  cosine of c: {grounding['cosine_to_own']:.3f} to its own goal's, "
            f"{grounding['cosine_to_others']:.3f} to the others'"
        )
        for key, share in block["transition"].items():
            steps = key.rsplit("_", 1)[-1]
            print(
                f"  of a motion predicted {steps:>3} steps ahead, {share:6.1%} is owed to the words"
            )


def _ends_line(figures: dict[str, Any]) -> str:
    if figures["apart_m"] is None:
        return "every sentence was refused"
    shares = "  ".join(
        f"{label} {figures[key]['mean']:.1%}"
        for key, label in (
            ("own", "own goal"),
            ("reached", "reached"),
            ("other", "the other"),
            ("followed", "both as told"),
        )
    )
    return f"{shares}  ends {100 * figures['apart_m']['mean']:.1f} cm apart"
