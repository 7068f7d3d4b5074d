"""The engine needs nothing but a few functions of libc, and no memory that it was not given."""

import re
import subprocess

from sdiwm_model.export.codegen import generate
from sdiwm_model.runtime.build import build_library, sources

ALLOWED = {"memcpy", "memset", "memmove", "__stack_chk_fail"}
LINKER = re.compile(r"_ITM_\w+|__cxa_finalize|__gmon_start__")  # what every shared object names
HEADERS = {"stdint.h", "string.h", "immintrin.h", "arm_acle.h", "arm_mve.h"}
GENERATED = {"model.hpp", "messages.hpp", "network.hpp", "encoder.hpp", "vision.hpp"}
ON_A_PC = {"tests/link_host.cpp": {"stdio.h"}}


def test_no_heap_and_no_libstdcxx(quantised):
    library = build_library(generate(quantised))
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1].split("@")[0] for line in listing.stdout.splitlines()}
    assert {name for name in names if not LINKER.fullmatch(name)} <= ALLOWED
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True)
    needed = re.findall(r"NEEDED.*\[(.*?)\]", dynamic.stdout)
    assert all(name.startswith("libc.so") for name in needed)


def test_only_standard_headers_and_its_own():
    for path in sources().rglob("*.[hc]pp"):
        for name in re.findall(r"#include [<\"](.*?)[>\"]", path.read_text()):
            roots = (path.parent, sources(), sources() / "kernels")
            own = any((root / name).exists() for root in roots)
            more = ON_A_PC.get(path.relative_to(sources()).as_posix(), set())
            assert own or name in HEADERS | GENERATED | more, f"{path} includes {name}"


def test_no_float_in_kernels_and_planner():
    for folder in ("kernels", "planner"):
        for path in (sources() / folder).rglob("*.hpp"):
            code = re.sub(r"//.*", "", path.read_text())
            assert not re.search(r"\b(float|double|new|malloc)\b", code), path
