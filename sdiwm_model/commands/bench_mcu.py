"""The firmware under emulation: the same bits everywhere, instructions, cycles, memory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdiwm_model.compression.integer_planner import IntegerMppi
    from sdiwm_model.compression.quantised_model import Goal, QuantisedModel
    from sdiwm_model.firmware.boards import Board

HELP = "firmware: bit-exactness, instructions, estimated cycles, RAM and flash on every board"
SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "reach"
NO_ENCODER = "the firmware has no image encoder; pictures are encoded on the host"
NOT_EMULATED = "QEMU does not model this board; its processor is that of mps2-an500"
RANDOM_PLANS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bundle, the size of a plan, and how much is compared."""
    parser.add_argument("--model", type=Path, default=SHIPPED, metavar="DIR", help="model bundle")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE",
        help="planner settings other than the chip's, as in candidates=32",
    )  # fmt: skip
    parser.add_argument(
        "--vectors", type=int, default=10_000, metavar="N", help="random latents to compare"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every board; --seeds choose the random integers."""
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.compression.integer_planner import IntegerMppi
    from sdiwm_model.compression.quantised_model import load_engine
    from sdiwm_model.firmware.boards import BOARDS
    from sdiwm_model.planning.overrides import overridden
    from sdiwm_model.runtime.mcu import fitting

    manifest = read_manifest(args.model)
    model = load_engine(args.model / "engine.safetensors")
    planner = IntegerMppi(model, overridden(fitting(manifest), args.set), args.seeds[0])
    goal = _random_goal(model, args.seeds[0])
    results: dict[str, Any] = {"bit_exact": {}, "notes": {}}
    for board in BOARDS.values():
        block = _sizes(board, model, manifest.model_hash)
        if board.machine is None:
            block |= {"plan": None, "fuse": None, "mac_per_cycle_est": None}
            results["notes"][f"{board.name}.plan"] = NOT_EMULATED
        else:
            exact = _compare(board, model, goal, args.vectors, args.seeds)
            results["bit_exact"][board.name] = exact
            block |= _speed(board, model, goal, planner)
            stack = _stack_peak(board, model, manifest.model_hash, goal, planner)
            block["sram_bytes"]["stack_peak"] = stack
        block |= {"encode": None, "frame_to_action": None}
        results["notes"][f"{board.name}.encode"] = NO_ENCODER
        results[board.name] = block
    results["vectors"] = args.vectors
    results["bit_exact"]["host"] = _host_is_exact(model, goal, args.seeds)
    results["bit_exact"]["all"] = all(results["bit_exact"].values())
    settings = planner.integers
    results["plan_size"] = f"{settings.candidates}x{settings.horizon}x{settings.iterations}"
    results["model_hash"] = manifest.model_hash
    return results


def _random_goal(model: QuantisedModel, seed: int) -> Goal:
    import numpy as np

    from sdiwm_model.compression.quantised_model import make_goal

    rng = np.random.default_rng(seed)
    return make_goal(model, rng.uniform(-1, 1, model.conditioning).astype(np.float32))


def _sizes(board: Board, model: QuantisedModel, model_hash: str) -> dict[str, Any]:
    """What the linker says of the firmware, the names it must not hold, and the largest frames."""
    from sdiwm_model.firmware.memory import FORBIDDEN, largest_frames, memory_of, symbols
    from sdiwm_model.firmware.program import build_firmware

    image = build_firmware(model, model_hash, board)
    memory = memory_of(image)
    return {
        "sram_bytes": {
            "data": memory.data, "bss": memory.bss, "stack_reserved": memory.stack,
            "stack_peak": None, "total": memory.ram,
        },
        "flash_bytes": memory.flash,
        "heap_or_libstdcxx_symbols": sorted(filter(FORBIDDEN.search, symbols(image))),
        "largest_frames": largest_frames(image),
    }  # fmt: skip


def _compare(
    board: Board, model: QuantisedModel, goal: Goal, vectors: int, seeds: list[int]
) -> bool:
    """Whether every part, and plans of every seed, equal the reference."""
    from sdiwm_model.compression.integer_planner import IntegerMppi
    from sdiwm_model.firmware.vectors import VectorChip, expected
    from sdiwm_model.planning.protocols import PlannerSettings

    parts = [("rollout", vectors, 1), ("heads", vectors, 1), ("fuse", vectors // 20, 1)]
    if model.prior is not None:
        parts.append(("prior", vectors // 20, 16))
    exact = True
    with VectorChip(board, model) as chip:
        for part, count, horizon in parts:
            reply = chip.run(part, goal, seeds[0], count, horizon)
            exact &= reply.checksum == expected(model, part, goal, seeds[0], count, horizon)
        for seed in seeds:
            planner = IntegerMppi(model, PlannerSettings(16, 12, 2, smoothness=0.1), seed)
            planner.integers.cold = 1
            sent = type(planner.integers).from_buffer_copy(planner.integers)
            reply = chip.run("plan", goal, seed, RANDOM_PLANS, settings=sent)
            exact &= reply.checksum == expected(
                model, "plan", goal, seed, RANDOM_PLANS, planner=planner
            )
    return exact


def _stack_peak(
    board: Board, model: QuantisedModel, model_hash: str, goal: Goal, planner: IntegerMppi
) -> int:
    """Bytes of stack that the firmware used at most for a handshake, a fusion and a plan."""
    import numpy as np

    from sdiwm_model.firmware.emulator import Emulator
    from sdiwm_model.firmware.program import build_firmware, model_hash_bytes, wire_sizes
    from sdiwm_model.runtime.link import Link
    from sdiwm_model.runtime.messages import Codec

    codec = Codec(wire_sizes(model))
    image = build_firmware(model, model_hash, board)
    link = Link(lambda: Emulator(board, image), codec, model_hash_bytes(model_hash), 60.0)
    try:
        link.ask("SetSettings", {"word": np.frombuffer(bytes(planner.integers), "<i4")})
        link.ask("SetGoal", {"word": np.frombuffer(goal.to_bytes(), "<u4")})
        latent = link.ask("Fuse", {"input": [0] * codec.sizes.fusion_input})["latent"]
        mean = [0] * codec.sizes.count("moves")
        link.ask("PlanRequest", {"plan": 0, "cold": 1, "latent": latent, "mean": mean})
        return int(link.read_statistics()["stack_peak"])
    finally:
        link.close()


def _host_is_exact(model: QuantisedModel, goal: Goal, seeds: list[int]) -> bool:
    """Whether the host's engine makes the reference's plans, from random latents."""
    import numpy as np

    from sdiwm_model.compression.fixed_point import actions_to_int16, latent_to_q15
    from sdiwm_model.compression.integer_planner import IntegerMppi
    from sdiwm_model.compression.quantised_model import make_goal
    from sdiwm_model.planning.protocols import PlannerSettings
    from sdiwm_model.runtime.native import NativeEngine

    engine = NativeEngine(model)
    exact = True
    for seed in seeds:
        rng = np.random.default_rng(seed)
        settings = PlannerSettings(16, 12)
        reference, native = IntegerMppi(model, settings, seed), engine.make_planner(settings, seed)
        for _ in range(RANDOM_PLANS):
            z = np.tanh(rng.standard_normal(model.latent)).astype(np.float32)
            c = rng.uniform(-1, 1, model.conditioning).astype(np.float32)
            plan = native.plan(z, c)
            mean, _, _ = reference.plan(make_goal(model, c), latent_to_q15(z), None)
            exact &= bool((actions_to_int16(plan.actions) == mean).all())
    return exact


def _speed(board: Board, model: QuantisedModel, goal: Goal, planner: IntegerMppi) -> dict[str, Any]:
    """Instructions and estimated cycles of a plan, a fusion, and input layer and GRU alone."""
    from sdiwm_model.firmware.vectors import STEPS, measured_work

    settings = planner.integers
    work, tile = measured_work(board, model, goal, settings)
    steps = settings.candidates * settings.horizon * settings.iterations
    macs = {
        "plan": steps * model.macs_per_step
        + settings.candidates * settings.iterations * model.macs_of_value
        + (sum(model.layers[f"prior_{part}"].weight.size for part in ("input", "output"))
           if settings.use_prior else 0),
        "fuse": sum(model.layers[f"fusion_{i}"].weight.size for i in range(3)),
        "steps": STEPS * tile * (model.macs_per_step - _head_macs(model)),
    }  # fmt: skip
    blocks = {name: _block(board, work[name], macs[name]) for name in macs}
    per_cycle = blocks["steps"]["mac_per_cycle_est"]
    return blocks | {"mac_per_cycle_est": per_cycle}


def _head_macs(model: QuantisedModel) -> int:
    return sum(model.layers[f"cost_{part}"].weight.size for part in ("input", "output"))


def _block(board: Board, work: Any, macs: int) -> dict[str, Any]:
    from sdiwm_model.firmware.boards import CLOCK_HZ
    from sdiwm_model.firmware.cycles import METHOD

    cycles = work.cycles
    return {
        "instructions": work.instructions,
        "macs": macs,
        "cycles_est": cycles,
        "ms_est_480mhz": None if cycles is None else 1e3 * cycles / CLOCK_HZ,
        "mac_per_cycle_est": None if cycles is None else macs / cycles,
        "method": METHOD.format(processor=board.processor),
    }


def print_table(results: dict[str, Any]) -> None:
    """Print one block for each board."""
    exact = results["bit_exact"]
    said = ", ".join(f"{name} {'yes' if good else 'NO'}" for name, good in exact.items())
    print(f"sdiwm bench mcu: model {results['model_hash']}, plan of {results['plan_size']}")
    print(f"  bit-exact with the reference, {results['vectors']} latents: {said}")
    for name, block in results.items():
        if not isinstance(block, dict) or "flash_bytes" not in block:
            continue
        ram = block["sram_bytes"]
        used = "" if ram["stack_peak"] is None else f", of it used {ram['stack_peak']}"
        print(
            f"{name}: flash {block['flash_bytes']}, RAM {ram['total']} bytes: data {ram['data']}, "
            f"bss {ram['bss']}, stack {ram['stack_reserved']}{used}"
        )
        for part in ("plan", "fuse", "steps"):
            work = block.get(part)
            if work:
                cycles = work["cycles_est"]
                print(f"  {part:<6}{work['instructions']:9d} instructions", end="")
                print("; no llvm-mca, no estimate" if cycles is None else (
                    f"; estimated {cycles:.0f} cycles, {work['ms_est_480mhz']:.2f} ms at 480 MHz, "
                    f"{work['mac_per_cycle_est']:.2f} MAC/cycle"
                ))  # fmt: skip
