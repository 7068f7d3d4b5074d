"""The firmware under emulation: the same bits everywhere, instructions, cycles, memory."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdiwm_model.compression.quantised_model import Goal, QuantisedModel
    from sdiwm_model.firmware.program import Contents
    from sdiwm_model.planning.protocols import PlannerSettings

HELP = "firmware: bit-exactness, instructions, estimated cycles, RAM and flash on every board"
SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "reach"
NO_ENCODER = "the bundle has no encoder for microcontrollers: `sdiwm export encoder` adds it"
NO_DATA = "give --data a folder that `sdiwm collect` wrote: its first episodes are replayed"
NO_CONTROL = "give --success-episodes: HRI and success of float and int8 take minutes"
NO_TORCH = "its encoder is written in PyTorch, which is not installed: extra [train]"
NOT_EMULATED = "QEMU does not model this board; its processor is that of mps2-an500"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bundle, the size of a plan, and how much is compared."""
    parser.add_argument("--model", type=Path, default=SHIPPED, metavar="DIR", help="model bundle")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE",
        help="planner settings other than the chip's, as in candidates=32",
    )  # fmt: skip
    parser.add_argument(
        "--vectors",
        type=int,
        default=10_000,
        metavar="N",
        help="random latents, and random inputs of sample networks, to compare",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="episodes that `sdiwm collect` wrote: whole ones are replayed on every target",
    )  # fmt: skip
    parser.add_argument(
        "--episodes", type=int, default=2, metavar="N", help="of those, to be replayed"
    )
    parser.add_argument(
        "--success-episodes", type=int, default=0, metavar="N",
        help="for each seed, of HRI and closed-loop success by float and by int8; 0 for none",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every board; --seeds choose the random integers."""
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.compression.integer_planner import IntegerMppi
    from sdiwm_model.firmware.boards import BOARDS
    from sdiwm_model.firmware.exactness import chip_is_exact, host_is_exact
    from sdiwm_model.firmware.footprint import footprint, stack_peak
    from sdiwm_model.firmware.program import Contents
    from sdiwm_model.firmware.speed import encoder_speed, frame_to_action, speed
    from sdiwm_model.planning.overrides import overridden
    from sdiwm_model.runtime.mcu import fitting

    manifest = read_manifest(args.model)
    contents = Contents.of_bundle(args.model)
    model = contents.model
    settings = overridden(fitting(manifest), args.set)
    planner = IntegerMppi(model, settings, args.seeds[0])
    goal = _random_goal(model, args.seeds[0])
    results: dict[str, Any] = {"bit_exact": {}, "notes": {}}
    for board in BOARDS.values():
        block = footprint(board, contents)
        block |= {"encode": None, "frame_to_action": None}
        if contents.encoder is None:
            results["notes"][f"{board.name}.encode"] = NO_ENCODER
        if board.machine is None:
            block |= {"plan": None, "fuse": None, "mac_per_cycle_est": None}
            results["notes"][f"{board.name}.plan"] = NOT_EMULATED
        else:
            exact = chip_is_exact(board, model, goal, args.vectors, args.seeds)
            results["bit_exact"][board.name] = exact
            block |= speed(board, model, goal, planner)
            stack = stack_peak(board, contents, goal, planner)
            block["sram_bytes"]["stack_peak"] = stack
            if contents.encoder is not None:
                block["encode"] = encoder_speed(board, contents.encoder, args.seeds[0])
                block["frame_to_action"] = frame_to_action(block)
        results[board.name] = block
    results["vectors"] = args.vectors
    results["bit_exact"]["host"] = host_is_exact(model, args.seeds)
    results |= _episodes(args, contents, goal, settings, results)
    results["int8_vs_float"] = _int8_vs_float(args, results["notes"])
    results |= _networks(args, results["bit_exact"], results["notes"])
    results["tflm"] = _tflm(args, results["notes"])
    results["bit_exact"]["all"] = all(results["bit_exact"].values())
    results["plan_size"] = f"{settings.candidates}x{settings.horizon}x{settings.iterations}"
    results["model_hash"] = manifest.model_hash
    return results


def _episodes(
    args: argparse.Namespace,
    contents: Contents,
    goal: Goal,
    settings: PlannerSettings,
    results: dict[str, Any],
) -> dict[str, Any]:
    """`episodes`: whole recorded ones on every target; what differs is not bit-exact."""
    from sdiwm_model.firmware.episodes import compare_episodes

    if args.data is None or contents.encoder is None:
        results["notes"]["episodes"] = NO_DATA if args.data is None else NO_ENCODER
        return {"episodes": None}
    found = compare_episodes(contents, goal, settings, args.data, args.episodes, args.seeds[0])
    for name, same in found["same"].items():
        results["bit_exact"][name] &= same == found["plans"]
    return {"episodes": found}


def _networks(
    args: argparse.Namespace, exact: dict[str, bool], notes: dict[str, str]
) -> dict[str, Any]:
    """`networks` and `patch`: compiled networks on random inputs, patches beside whole layers."""
    from sdiwm_model.firmware.networks import compare_networks, patch_figures

    found = compare_networks(args.vectors, args.seeds[0])
    for block in found.values():
        for target in block.keys() - {"vectors"}:
            exact[target] &= block[target] == block["vectors"]
    if importlib.util.find_spec("torch") is None:
        notes["patch"] = NO_TORCH
        return {"networks": found, "patch": None}
    return {"networks": found, "patch": patch_figures(args.seeds[0])}


def _tflm(args: argparse.Namespace, notes: dict[str, str]) -> dict[str, Any] | None:
    from sdiwm_model.firmware.tflm import REMEDY, compare_with_tflm, is_installed

    if not is_installed():
        notes["tflm"] = REMEDY
        return None
    return compare_with_tflm(args.model / "vision.onnx", args.data, args.seeds[0])


def _int8_vs_float(args: argparse.Namespace, notes: dict[str, str]) -> dict[str, Any] | None:
    from sdiwm_model.evaluation.int8 import int8_vs_float

    if not args.success_episodes:
        notes["int8_vs_float"] = NO_CONTROL
        return None
    return int8_vs_float(args.model, args.success_episodes, args.seeds)


def _random_goal(model: QuantisedModel, seed: int) -> Goal:
    import numpy as np

    from sdiwm_model.compression.quantised_model import make_goal

    rng = np.random.default_rng(seed)
    return make_goal(model, rng.uniform(-1, 1, model.conditioning).astype(np.float32))


def print_table(results: dict[str, Any]) -> None:
    """Print one block for each board."""
    exact = results["bit_exact"]
    said = ", ".join(f"{name} {'yes' if good else 'NO'}" for name, good in exact.items())
    print(f"sdiwm bench mcu: model {results['model_hash']}, plan of {results['plan_size']}")
    print(f"  bit-exact with the reference, {results['vectors']} latents: {said}")
    if results["episodes"]:
        replayed = results["episodes"]
        same = ", ".join(f"{name} {count}" for name, count in replayed["same"].items())
        print(f"  {replayed['episodes']} whole episodes, same plans of {replayed['plans']}: {same}")
    if results["int8_vs_float"]:
        _print_int8_vs_float(results["int8_vs_float"])
    _print_networks(results["networks"], results["patch"])
    if results["tflm"]:
        _print_tflm(results["tflm"])
    for name, block in results.items():
        if not isinstance(block, dict) or "flash_bytes" not in block:
            continue
        ram = block["sram_bytes"]
        used = "" if ram["stack_peak"] is None else f", of it used {ram['stack_peak']}"
        print(
            f"{name}: flash {block['flash_bytes']}, RAM {ram['total']} bytes: data {ram['data']}, "
            f"bss {ram['bss']}, stack {ram['stack_reserved']}{used}"
        )
        for part in ("encode", "fuse", "plan", "frame_to_action", "steps"):
            work = block.get(part)
            if work:
                cycles = work["cycles_est"]
                print(f"  {part:<16}{work['instructions']:9d} instructions", end="")
                print("; no llvm-mca, no estimate" if cycles is None else (
                    f"; estimated {cycles:.0f} cycles, {work['ms_est_480mhz']:.2f} ms at 480 MHz, "
                    f"{work['mac_per_cycle_est']:.2f} MAC/cycle"
                ))  # fmt: skip


def _print_networks(networks: dict[str, Any], patch: dict[str, Any] | None) -> None:
    for name, block in networks.items():
        same = ", ".join(f"{k} {v}" for k, v in block.items() if k != "vectors")
        print(f"  network {name}: the reference's integers, of {block['vectors']}: {same}")
    if patch is not None:
        print(
            f"  {patch['network']}: {patch['layerwise_peak_bytes']} bytes layer by layer, "
            f"{patch['patch_peak_bytes']} patch by patch ({patch['ratio']:.1f}x less, "
            f"{patch['extra_macs']:.1%} more work), "
            f"{'the same' if patch['identical'] else 'OTHER'} integers"
        )


def _print_tflm(found: dict[str, Any]) -> None:
    arena, steps = found["arena_bytes"], found["steps_from_float"]
    print(
        f"  {found['network']}: arena {arena['ours']} bytes, TFLM {arena['tflm']}; mean difference "
        f"from float {steps['ours']['mean']:.3f} steps, TFLM {steps['tflm']['mean']:.3f}; between "
        f"the two at most {found['steps_between']['max']:.0f}"
    )


def _print_int8_vs_float(found: dict[str, Any]) -> None:
    for name in ("float", "int8"):
        for key, rate in found[name].items():
            low, high = rate["ci95"]
            print(f"  {name:<6}{key:<12}{rate['mean']:.3f} ({low:.3f}-{high:.3f}) of {rate['n']}")
    points = 100 * found["success_lost"]
    print(
        f"  int8 loses {found['hri_lost_share']:.2%} of the HRI and {points:.1f} points of success"
    )
