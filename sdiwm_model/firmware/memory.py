"""What an image takes of flash and RAM, from its ELF sections."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FORBIDDEN = re.compile(r"malloc|calloc|free|sbrk|^_Zn[wa]|^_Zd[la]|^__cxa|^_ZNSt|^_ZSt")
"""Names of the heap and of libstdc++: no image may hold one."""

FLASH_SECTIONS = (".vectors", ".text", ".ARM.exidx", ".fast", ".data")


@dataclass(frozen=True)
class Memory:
    """Bytes; `stack` is what the linker sets aside."""

    flash: int
    data: int
    bss: int
    stack: int

    @property
    def ram(self) -> int:
        """Data, bss and stack."""
        return self.data + self.bss + self.stack


def memory_of(image: Path) -> Memory:
    """Sizes of an image of `build_image`."""
    listing = _tool("arm-none-eabi-size", "-A", str(image))
    size = {name: int(count) for name, count in re.findall(r"^(\.\S+)\s+(\d+)", listing, re.M)}
    return Memory(
        flash=sum(size.get(name, 0) for name in FLASH_SECTIONS),
        data=size.get(".data", 0),
        bss=size.get(".bss", 0) + size.get(".far_bss", 0),
        stack=size.get(".stack", 0),
    )


def largest_frames(image: Path, most: int = 6) -> dict[str, int]:
    """The functions with the largest stack frames, bytes each, as -fstack-usage says."""
    frames: dict[str, int] = {}
    for line in image.with_suffix(".su").read_text().splitlines():
        where, count, _ = line.split("\t")
        frames[where.split(":")[-1]] = int(count)
    return dict(sorted(frames.items(), key=lambda item: -item[1])[:most])


def largest_buffer(image: Path) -> tuple[str, int]:
    """Name and bytes of the largest variable in an image's RAM."""
    rows = [line.split(maxsplit=3) for line in _tool("arm-none-eabi-nm", "-CSr", "--size-sort",
                                                     str(image)).splitlines()]  # fmt: skip
    return next((name, int(size, 16)) for _, size, kind, name in rows if kind in "bBdD")


def symbols(image: Path) -> set[str]:
    """All names in an image."""
    return {line.split()[-1] for line in _tool("arm-none-eabi-nm", str(image)).splitlines()}


def _tool(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
