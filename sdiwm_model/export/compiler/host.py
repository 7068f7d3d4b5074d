"""A generated network on this machine: compiled as a library, called with integers."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.codegen import generate
from sdiwm_model.export.compiler.layout import Layout
from sdiwm_model.runtime.build import find_compiler, sources

FLAGS = (
    "-std=c++17", "-fPIC", "-shared", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra",
    "-nodefaultlibs", "-lc", "-lgcc",
)  # fmt: skip
NAME = "network"
INTERFACE = f"""
#include <string.h>
#include "{NAME}.hpp"

namespace {{
void copy(void* context, int32_t row, int32_t first, int32_t count, uint8_t* to) {{
  const uint8_t* from = static_cast<const uint8_t*>(context) + row * ROW_BYTES;
  memcpy(to, from + first * PIXEL_BYTES, static_cast<uint32_t>(count) * PIXEL_BYTES);
}}
}}  // namespace

extern "C" void sdiwm_network_run(uint8_t* arena, const uint8_t* picture) {{
  CALL;
}}
"""


class HostNetwork:
    """The C++ of a layout, as `sdiwm export cpp` writes it."""

    def __init__(self, layout: Layout, flags: tuple[str, ...] = ("-O2",)) -> None:
        """Compile it; SdiwmError where there is no compiler or it refuses."""
        self.layout = layout
        self._folder = tempfile.TemporaryDirectory(prefix="sdiwm-network-")
        library = self._build(Path(self._folder.name), flags)
        self._run = ctypes.CDLL(str(library)).sdiwm_network_run
        self._run.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        self._run.restype = None
        self.arena = aligned(layout.peak)

    def __call__(self, inputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.int64]]:
        """Integers of every input -> integers of every output, (height, width, channels)."""
        tensors = self.layout.program.tensors
        picture = None
        for name in self.layout.program.inputs:
            tensor = tensors[name]
            given = np.ascontiguousarray(inputs[name], tensor.dtype).reshape(tensor.shape)
            if self.layout.stage:
                picture = given
            else:
                start = self.layout.offset(name)
                self.arena[start : start + tensor.bytes] = given.view(np.uint8).ravel()
        self._run(self.arena.ctypes.data, picture.ctypes.data if picture is not None else None)
        found = {}
        for name in self.layout.program.outputs:
            tensor, start = tensors[name], self.layout.offset(name)
            raw = self.arena[start : start + tensor.bytes].copy().view(tensor.dtype)
            found[name] = raw.astype(np.int64).reshape(tensor.shape)
        return found

    def _build(self, folder: Path, flags: tuple[str, ...]) -> Path:
        for name, text in generate(self.layout, NAME).items():
            (folder / name).write_text(text, encoding="utf-8")
        program = self.layout.program
        call, row_bytes, pixel_bytes = f"sdiwm::{NAME}::run(arena)", 1, 1
        if self.layout.stage:
            picture = program.tensors[program.inputs[0]]
            row_bytes, pixel_bytes = picture.row_bytes, picture.row_bytes // picture.shape[1]
            call = f"sdiwm::{NAME}::run(arena, copy, const_cast<uint8_t*>(picture))"
        text = INTERFACE.replace("ROW_BYTES", str(row_bytes)).replace("CALL", call)
        text = text.replace("PIXEL_BYTES", str(pixel_bytes))
        if not self.layout.stage:
            text = text.replace("const uint8_t* picture", "const uint8_t*")
            text = text[: text.index("namespace {")] + text[text.index("extern") :]
        (folder / "interface.cpp").write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        library = folder / f"network-{digest}.so"
        command = [
            find_compiler(), *flags, f"-I{folder}", f"-I{sources() / 'kernels'}",
            str(folder / f"{NAME}.cpp"), str(folder / "interface.cpp"), "-o", str(library), *FLAGS,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = [x for x in done.stderr.splitlines() if "error" in x] or [done.stderr]
            raise SdiwmError(f"the generated network does not compile: {lines[0]}")
        return library


def aligned(size: int) -> NDArray[np.uint8]:
    """Bytes aligned to 64, filled with what is no likely value."""
    raw = np.full(size + 64, 0xA5, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]
