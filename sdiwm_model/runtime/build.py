"""Shared libraries built on demand into the user's cache, keyed by all that goes into them."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path

COMMON_FLAGS = (
    "-std=c++17",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fvisibility=hidden",
    "-fno-math-errno",
)
ISA_FLAGS: dict[str, tuple[str, ...]] = {
    "portable": ("-O3",),
    "avx2": ("-O2", "-mavx2"),
    "avx512vnni": (
        "-O2",
        "-mavx512f",
        "-mavx512bw",
        "-mavx512vl",
        "-mavx512vbmi",
        "-mavx512vnni",
    ),
}
LINK_FLAGS = ("-shared", "-nodefaultlibs", "-Wl,--as-needed", "-lc", "-lgcc")
TIMEOUT_S = 300


def sources() -> Path:
    """Folder of the C++ sources."""
    import mcu_firmware

    return Path(mcu_firmware.__file__).resolve().parent


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/sdiwm, or ~/.cache/sdiwm."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sdiwm"


def instruction_sets() -> tuple[str, ...]:
    """Those that are compiled on this kind of machine; the library picks one when it is loaded."""
    return tuple(ISA_FLAGS) if platform.machine() in ("x86_64", "AMD64") else ("portable",)


def find_compiler() -> str:
    """$CXX, g++ or clang++; SdiwmError where there is none."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise SdiwmError(
        "No C++ compiler was found for the back end 'native': install g++ "
        "(`sudo apt-get install g++`), or choose the back end 'onnx'."
    )


def build_library(generated: Mapping[str, str], extra_flags: tuple[str, ...] = ()) -> Path:
    """Compile the engine with the `generated` model; return the library, from the cache if there.

    Raises:
        SdiwmError: no compiler, or it failed: its first complaint is in the message.
    """
    compiler = find_compiler()
    key = _key(compiler, generated, extra_flags)
    library = cache_folder() / f"engine-{key}.so"
    if library.is_file():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with (
            atomic_path(library) as temporary,
            tempfile.TemporaryDirectory(prefix="sdiwm-build-") as folder,
        ):
            _compile(compiler, generated, extra_flags, Path(folder), temporary)
    except OSError as error:
        raise SdiwmError(
            f"The engine cannot be built in {library.parent} ({error}): free some space there, or "
            "point XDG_CACHE_HOME at a folder that can be written."
        ) from error
    return library


def _key(compiler: str, generated: Mapping[str, str], extra_flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    flags = {name: ISA_FLAGS[name] for name in instruction_sets()}
    digest.update(repr((_version(compiler), COMMON_FLAGS, flags, LINK_FLAGS, extra_flags)).encode())
    for name, text in sorted(generated.items()):
        digest.update(f"{name}\0{text}\0".encode())
    for path in sorted(sources().rglob("*.[hc]pp")):
        digest.update(str(path.relative_to(sources())).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:24]


def _version(compiler: str) -> str:
    return _run([compiler, "--version"])


def _compile(
    compiler: str,
    generated: Mapping[str, str],
    extra_flags: tuple[str, ...],
    folder: Path,
    library: Path,
) -> None:
    for name, text in generated.items():
        (folder / name).write_text(text, encoding="utf-8")
    host = sources() / "boards" / "host"
    units: list[tuple[Path, str, tuple[str, ...]]] = [
        (folder / "model.cpp", "model", ("-O2",)),
        (host / "dispatch.cpp", "dispatch", ("-O2",)),
    ]
    units += [(host / "engine.cpp", isa, ISA_FLAGS[isa]) for isa in instruction_sets()]
    include = (f"-I{folder}", f"-I{sources() / 'kernels'}")

    def compile_unit(unit: tuple[Path, str, tuple[str, ...]]) -> str:
        source, name, flags = unit
        target = str(folder / f"{name}.o")
        all_flags = (*COMMON_FLAGS, *flags, *extra_flags, *include)
        _run([compiler, *all_flags, "-c", str(source), "-o", target])
        return target

    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_unit, units))
    _run([compiler, *objects, *extra_flags, *LINK_FLAGS, "-o", str(library)])


def _run(command: list[str]) -> str:
    """Run a compiler; SdiwmError with its first complaint where it fails, OSError: a full disk."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SdiwmError(
            f"The compiler `{command[0]}` did not run ({error}): install g++ "
            "(`sudo apt-get install g++`) or set CXX."
        ) from error
    if "No space left on device" in done.stderr:
        raise OSError(errno.ENOSPC, "No space left on device")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr]
        raise SdiwmError(
            f"The compiler `{command[0]}` failed to build the engine "
            f"({lines[0].strip() or f'exit status {done.returncode}'}): install g++ 12 or later "
            "(`sudo apt-get install g++`) or set CXX."
        )
    return done.stdout
