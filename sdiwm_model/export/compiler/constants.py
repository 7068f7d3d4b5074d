"""Constant arrays and structures of a generated source; equal arrays are defined once."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sdiwm_model.export.compiler.operators import Array

C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
}
NUMBERS_A_LINE = 24
SCALES = 8  # that a kernel reads at a time


def identifier(name: str) -> str:
    """`name` with everything but letters, digits and _ replaced, not beginning with a digit."""
    plain = re.sub(r"_+", "_", re.sub(r"\W", "_", name, flags=re.ASCII)).strip("_")
    return plain if plain and not plain[0].isdigit() else f"v{plain}"


def constant_name(name: str) -> str:
    """`name` as kCamelCase."""
    return "k" + "".join(part[:1].upper() + part[1:] for part in identifier(name).split("_"))


class Constants:
    """Definitions in the order in which they were asked for."""

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self._arrays: dict[bytes, str] = {}

    def array(self, array: Array) -> str:
        """The name of a constant array with these contents."""
        key = array.dtype.name.encode() + array.tobytes()
        if key not in self._arrays:
            name = f"kData{len(self._arrays)}"
            self._arrays[key] = name
            self.define_array(name, array)
        return self._arrays[key]

    def define_array(self, name: str, array: Array, comment: str = "") -> None:
        """Define an array under this name."""
        kind, numbers = C_TYPES[array.dtype.name], _lines(array.ravel().tolist())
        self.definitions.append(
            f"{comment}alignas(16) constexpr {kind} {name}[{array.size}] = {{\n    {numbers}}};\n"
        )

    def scales(self, bias: Array, multiplier: Array, shift: Array) -> str:
        """The name of an array of `nn::Scale`, padded with zeros to whole vectors."""
        rows = [*zip(bias.tolist(), multiplier.tolist(), shift.tolist(), strict=True)]
        rows += [(0, 0, 0)] * (-len(rows) % SCALES)
        key = b"scales" + bias.tobytes() + multiplier.tobytes() + shift.tobytes()
        if key not in self._arrays:
            name = self._arrays[key] = f"kScale{len(self._arrays)}"
            joined = ",\n    ".join(f"{{{b}, {s}, {m}}}" for b, m, s in rows)
            self.definitions.append(
                f"alignas(16) const nn::Scale {name}[{len(rows)}] = {{\n    {joined}}};\n"
            )
        return self._arrays[key]

    def struct(self, kind: str, name: str, values: Iterable[object]) -> str:
        """Define a structure of the kernels; returns its name."""
        own = f"{constant_name(name)}_{len(self.definitions)}"
        joined = ", ".join(map(str, values))
        self.definitions.append(f"const nn::{kind} {own} = {{{joined}}};\n")
        return own


def _lines(numbers: list[int]) -> str:
    rows = (numbers[i : i + NUMBERS_A_LINE] for i in range(0, len(numbers), NUMBERS_A_LINE))
    return ",\n    ".join(", ".join(map(str, row)) for row in rows)
