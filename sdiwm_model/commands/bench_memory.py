"""`sdiwm bench memory`: what pre-training needs on each rank, planned and measured."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdiwm_model.pretraining.measured_memory import Case

HELP = "plan the memory of pre-training on many ranks; check the plan against a measured size"
GIGA = 1e9
HOW = {"kept": False, "recomputed": True}  # what becomes of a block's activations
ROWS = (
    ("weights", "weights, float32, sharded"),
    ("gradients", "gradients, float32, sharded"),
    ("moments", "AdamW's moments, float32, sharded"),
    ("targets", "trailing targets, float32, sharded"),
    ("gathered", "gathered blocks and their gradients"),
    ("activations", "activations of a micro-batch"),
    ("peak", "at the worst moment"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm bench memory`."""
    parser.add_argument("--size", default="teacher_h", help="model size whose encoder is planned")
    parser.add_argument("--measured", default="teacher_s", help="model size to check the plan with")
    parser.add_argument("--ranks", type=int, default=8, help="GPUs that share the weights")
    parser.add_argument("--memory", type=float, default=24.0, help="of each GPU, GB (10^9 bytes)")
    parser.add_argument(
        "--reserve",
        type=float,
        default=2.5,
        help="of that, left to the driver, NCCL and the allocator's gaps, GB",
    )
    parser.add_argument("--image-size", type=int, default=224, help="edge of a picture, pixels")
    parser.add_argument("--patch", type=int, default=16, help="edge of a patch, pixels")
    parser.add_argument("--frames", type=int, default=16, help="pictures of a clip")
    parser.add_argument(
        "--measured-frames", type=int, default=4, help="pictures of a clip that is measured"
    )
    parser.add_argument("--effective-batch", type=int, default=512, help="clips of an update")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Plan the large size with and without recomputation, and measure the small one."""
    from dataclasses import replace

    from sdiwm_model.pretraining.measured_memory import Case
    from sdiwm_model.sizes import find_size

    room = (args.memory - args.reserve) * GIGA

    def case(name: str, frames: int, precision: str, recompute: bool) -> Case:
        size = replace(find_size(name), image_size=args.image_size, patch=args.patch)
        return Case(size, frames, 2, precision, recompute)

    planned = {
        how: _largest_micro_batch(case(args.size, args.frames, "bfloat16", recompute), args, room)
        for how, recompute in HOW.items()
    }
    checked = {
        how: _checked(case(args.measured, args.measured_frames, "float32", recompute))
        for how, recompute in HOW.items()
    }
    return {
        "size": args.size,
        "ranks": args.ranks,
        "room_gb": room / GIGA,
        "clip": [args.frames, args.image_size, args.image_size, 3],
        "plan": planned,
        "measured_size": args.measured,
        "check": checked,
        "notes": {
            "plan": "planned with bfloat16 on the meta device; no GPU of that memory was run"
        },
    }


def _largest_micro_batch(case: Case, args: argparse.Namespace, room: float) -> dict[str, Any]:
    """The plan of the largest power of two of clips that fits, or of one clip if none does."""
    from dataclasses import replace

    from sdiwm_model.pretraining.memory_plan import plan_memory

    clips, best = 1, None
    while clips * args.ranks <= args.effective_batch:
        asked = replace(case, clips=clips)
        plan = plan_memory(
            asked.objective, asked.shape, args.ranks, asked.precision, asked.recompute
        )
        if best is not None and plan.peak > room:
            break
        best = plan.to_dict() | {
            "micro_batch": clips,
            "accumulation": args.effective_batch // (clips * args.ranks),
            "fits": plan.peak <= room,
        }
        clips *= 2
    assert best is not None
    return best


def _checked(case: Case) -> dict[str, Any]:
    """Planned and measured bytes of a case on one rank."""
    from sdiwm_model.pretraining.measured_memory import measure
    from sdiwm_model.pretraining.memory_plan import plan_memory

    plan = plan_memory(case.objective, case.shape, 1, case.precision, case.recompute)
    measured = measure(case)
    return {"planned": plan.peak, "measured": measured, "ratio": plan.peak / measured}


def print_table(results: Mapping[str, Any]) -> None:
    """Print the plan in GB, and how it compares with what was measured."""
    plans = results["plan"]
    print(
        f"{results['size']} on {results['ranks']} ranks, bfloat16, {results['room_gb']:.1f} GB "
        f"each, clips of {' x '.join(map(str, results['clip']))}; GB a rank"
    )
    print(f"{'blocks':<40}{'kept':>12}{'recomputed':>12}")
    for key, what in ROWS:
        print(f"{what:<40}" + "".join(f"{plans[k][key] / GIGA:>12.2f}" for k in plans))
    for key, what in (("micro_batch", "clips a micro-batch"), ("accumulation", "micro-batches")):
        print(f"{what:<40}" + "".join(f"{plans[k][key]:>12}" for k in plans))
    print(f"{'fits':<40}" + "".join(f"{'yes' if plans[k]['fits'] else 'no':>12}" for k in plans))
    for how, check in results["check"].items():
        print(
            f"check: {results['measured_size']} {how}, one rank, float32: planned "
            f"{check['planned'] / GIGA:.2f} GB, measured {check['measured'] / GIGA:.2f} GB"
        )
