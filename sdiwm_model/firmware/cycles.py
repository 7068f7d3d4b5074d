"""Instructions of a program under emulation, counted, and cycles of a real processor, estimated.

QEMU logs every block it executes. The difference of two runs, one of which does the measured work
once more, is that work, counted by address; a block that an interrupt cuts short counts as whole.
Cycles are those that llvm-mca's model of the processor gives for each block repeated, times how
often it ran: in-order dual issue and latencies, no cache misses, no mispredicted branches, all
memory without wait states.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.boards import Board
from sdiwm_model.firmware.emulator import Emulator

METHOD = (
    "instructions: blocks executed under QEMU, to 0.2 % (an interrupted one counts as whole); "
    "cycles: llvm-mca -mcpu={processor} on every executed block times its count, memory without "
    "wait states, branches predicted"
)
ITERATIONS = 20
CALL_CYCLES = 3  # to fill the pipeline again
VERSIONS = ("-19", "-18", "-20", "", "-17", "-16", "-15", "-14")  # of LLVM; the M55 needs 18
TRIPLES = {"cortex-m7": "thumbv7em-none-eabi", "cortex-m55": "thumbv8.1m.main-none-eabi"}
CODE = re.compile(r"\b[0-9a-f]{4}\b")  # halfwords of an instruction
FIRST_OF_TWO = 0xE800  # and above: the first halfword of a 32-bit instruction
FREE = re.compile(r"^(le|dls|wls|letp|dlstp|wlstp|nop)\b")  # loops: no time of their own
CONDITION = re.compile(r"^it([te]*)\s")
CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"
CONDITIONAL = re.compile(rf"^([a-z0-9]+?)(?:{CONDITIONS})(\.\w+)?(\s)")
BRANCH = re.compile(rf"^(bl?(?:{CONDITIONS})?(?:\.[nw])?|cbn?z)(\s+r\d+,)?\s+.*$")  # to a place

LEAVES = re.compile(r"^(bl?x|le|letp|wls|wlstp|tb[bh]|svc|udf)\b|\bpc\b")  # the order of addresses

Block = tuple[int, ...]  # addresses of its instructions


@dataclass(frozen=True)
class Work:
    """What some work takes; `cycles` is None where llvm-mca is not installed."""

    instructions: int
    cycles: float | None


def measure(board: Board, image: Path, run: Callable[[Emulator, int], None]) -> Work:
    """The work that `run(chip, 2)` does more than `run(chip, 1)`.

    Code of the board itself (interrupts, waiting) is left out.
    """
    once, twice = (executed_blocks(board, image, run, times) for times in (1, 2))
    left_out = _board_code(image)
    counts = {
        block: count - once[block]
        for block, count in twice.items()
        if count > once[block] and not any(low <= block[0] < high for low, high in left_out)
    }
    instructions = sum(count * len(block) for block, count in counts.items())
    return Work(instructions, _estimate(board, image, counts))


def executed_blocks(
    board: Board, image: Path, run: Callable[[Emulator, int], None], times: int
) -> Counter[Block]:
    """How often each block was executed, from the start to the end of `run`."""
    with tempfile.TemporaryDirectory(prefix="sdiwm-trace-") as folder:
        log = Path(folder) / "trace"
        with Emulator(board, image, ["-d", "in_asm,exec,nochain", "-D", str(log)]) as chip:
            run(chip, times)
        return _read_trace(log)


def _read_trace(log: Path) -> Counter[Block]:
    blocks: dict[str, Block] = {}  # by the address of QEMU's translation
    counts: Counter[str] = Counter()
    translated: dict[int, int] = {}  # address -> halfword
    kept: Counter[Block] = Counter()
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("0x"):
                for index, halfword in enumerate(CODE.findall(line[12:24])):
                    translated[int(line[2:10], 16) + 2 * index] = int(halfword, 16)
            elif line.startswith("IN:"):
                translated = {}
            elif line.startswith("Trace"):
                key = line.split(" ", 3)[2]
                if translated:
                    if key in blocks:  # QEMU has thrown its translations away
                        kept[blocks[key]] += counts.pop(key, 0)
                    blocks[key] = _instructions(translated)
                    translated = {}
                counts[key] += 1
            elif line.startswith("Stopped execution"):
                counts[line.split("before ")[1].split(" ")[0]] -= 1
    for key, count in counts.items():
        if key in blocks:
            kept[blocks[key]] += count
    return kept


def _instructions(halfwords: dict[int, int]) -> Block:
    """Where instructions begin; QEMU's own disassembly does not know those of Helium."""
    found, at = [], min(halfwords)
    while at in halfwords:
        found.append(at)
        at += 4 if halfwords[at] >= FIRST_OF_TWO else 2
    return tuple(found)


def _board_code(image: Path) -> list[tuple[int, int]]:
    """Address ranges of the functions in sdiwm::board, and of the test's own waiting."""
    listing = _tool("arm-none-eabi-nm", "-CS", str(image))
    ranges = []
    for line in listing.splitlines():
        parts = line.split(" ", 3)
        if len(parts) == 4 and (parts[3].startswith("sdiwm::board") or "receive(" in parts[3]):
            start = int(parts[0], 16) & ~1
            ranges.append((start, start + int(parts[1], 16)))
    return ranges


def _estimate(board: Board, image: Path, counts: dict[Block, int]) -> float | None:
    version = next((v for v in VERSIONS if shutil.which(f"llvm-mca{v}")), None)
    if version is None or shutil.which(f"llvm-objdump{version}") is None:
        return None
    target = [f"--triple={TRIPLES[board.processor]}", f"--mcpu={board.processor}"]
    text = _disassembly(
        _tool(f"llvm-objdump{version}", "-d", "--no-show-raw-insn", *target, str(image))
    )
    counts = _joined(counts, text)
    order = list(counts)
    regions = []
    for index, block in enumerate(order):
        lines = [text[address] for address in block if not FREE.match(text.get(address, "nop"))]
        regions += [f"@ LLVM-MCA-BEGIN {index}", *map(_plain, lines or ["nop"]), "@ LLVM-MCA-END"]
    skip = [] if version in ("-14", "-15", "-16", "-17") else [
        "-skip-unsupported-instructions=any",
        f"-call-latency={CALL_CYCLES}",  # 100 without it
    ]  # fmt: skip
    report = subprocess.run(
        [f"llvm-mca{version}", f"-mtriple={TRIPLES[board.processor]}", f"-mcpu={board.processor}",
         f"-iterations={ITERATIONS}", "-instruction-info=false", "-resource-pressure=false", *skip],
        input="\n".join(regions) + "\n", capture_output=True, text=True,
    )  # fmt: skip
    found = re.findall(r"Code Region - (\d+)\n(?:.*\n)*?Total Cycles:\s+(\d+)", report.stdout)
    if len(found) != len(order):
        said = report.stderr.strip().splitlines()[:3]
        raise SdiwmError(f"llvm-mca understood {len(found)} of {len(order)} blocks: {said}")
    return sum(int(cycles) / ITERATIONS * counts[order[int(index)]] for index, cycles in found)


def _joined(counts: dict[Block, int], text: dict[int, str]) -> dict[Block, int]:
    """Blocks that end at a border of QEMU's pages, not at a branch, joined with what follows."""
    left = dict(counts)
    starting = {block[0]: block for block in sorted(left, key=lambda block: left[block])}
    for block in sorted(left, key=lambda block: block[0], reverse=True):
        last = text.get(block[-1], "")
        following = starting.get(block[-1] + (4 if block[-1] + 2 not in text else 2))
        if following is None or BRANCH.match(last) or LEAVES.search(last):
            continue
        times = min(left[block], left.get(following, 0))
        left[following] -= times
        left[block] -= times
        left[block + following] = left.get(block + following, 0) + times
        starting[block[0]] = block + following
    return {block: count for block, count in left.items() if count > 0}


def _disassembly(listing: str) -> dict[int, str]:
    """Instructions by address; conditional ones as if always executed, and IT as nothing."""
    text: dict[int, str] = {}
    conditional = 0
    for address, found in re.findall(r"^\s*([0-9a-f]+):\s+(.*?)\s*(?:[@<].*)?$", listing, re.M):
        line = found.replace("\t", " ")
        condition = CONDITION.match(line)
        if condition:
            conditional, line = 1 + len(condition.group(1)), "nop"
        elif conditional:
            conditional, line = conditional - 1, CONDITIONAL.sub(r"\1\2\3", line)
        text[int(address, 16)] = line
    return text


def _plain(text: str) -> str:
    """A branch's target is an address, which an assembler does not take."""
    return BRANCH.sub(r"\1\2 elsewhere", text)


def _tool(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SdiwmError(f"`{command[0]}` did not run ({error}).") from None
