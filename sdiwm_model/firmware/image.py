"""Cross-compile C++ for a board, with its start-up code and memory map; cached by content."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_model.firmware.boards import Board
from sdiwm_model.runtime.build import cache_folder, sources

COMPILER = "arm-none-eabi-g++"
TOOLCHAIN_REMEDY = (
    "`sudo apt-get install --no-install-recommends gcc-arm-none-eabi libnewlib-arm-none-eabi`"
)
FLAGS = (
    "-std=c++17",
    "-O2",
    "-g",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-ffunction-sections",
    "-fdata-sections",
    "-fstack-usage",
    "-Wall",
    "-Wextra",
)
LINK_FLAGS = (
    "-nostartfiles",
    "-nodefaultlibs",
    "-Wl,--gc-sections",
    "-Wl,--no-warn-rwx-segments",
    "-Wl,-T,memory.ld",
    "-Wl,--start-group",
    "-lc",
    "-lgcc",
    "-Wl,--end-group",
)
TIMEOUT_S = 300


def build_image(
    board: Board,
    programs: Sequence[Path],
    generated: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
    within_budget: bool = True,
) -> Path:
    """Compile `programs` with the board's start-up code into an ELF image.

    Beside the image lies IMAGE.su: what -fstack-usage says of every function.

    Args:
        programs: C++ files; one of them has `int main()` and includes "boards/board.hpp".
        generated: more files by name, compiled where they end in .cpp; all can be included.
        flags: more flags for the compiler, such as -DNAME=1.
        within_budget: False: link even what is too large for the board, to see how large it is.

    Raises:
        SdiwmError: no cross-compiler, or it or the linker failed: the first complaint is named.
            The linker refuses data, bss and stack beyond the board's RAM budget.
    """
    files = dict(generated or {})
    link = LINK_FLAGS if within_budget else (*LINK_FLAGS, "-Wl,--noinhibit-exec")
    key = _key(board, programs, files, (*flags, *link))
    image = cache_folder() / f"firmware-{board.name}-{key}.elf"
    if image.is_file():
        return image
    image.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sdiwm-firmware-") as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        made = [folder / file for file in files if file.endswith(".cpp")]
        with atomic_path(image) as temporary:
            usage = _compile(board, [*programs, *made], flags, link, folder, temporary)
            image.with_suffix(".su").write_text(usage, encoding="utf-8")
    return image


def _compile(
    board: Board,
    programs: Sequence[Path],
    flags: Sequence[str],
    link: Sequence[str],
    folder: Path,
    image: Path,
) -> str:
    """Compile and link; return what -fstack-usage said."""
    root = sources()
    common = root / "boards" / "cortex_m"
    include = [f"-I{folder}", f"-I{root}", f"-I{root / 'kernels'}"]
    objects = []
    own = root / "boards" / board.folder / "board.cpp"
    units = [*programs, common / "start.cpp", common / "receiver.cpp", own]
    for index, unit in enumerate(units):
        target = folder / f"{index}-{unit.stem}.o"
        _run([COMPILER, *board.flags, *FLAGS, *flags, *include, "-c", str(unit), "-o", str(target)])
        objects.append(str(target))
    scripts = [f"-L{root / 'boards' / board.folder}", f"-L{common}"]
    _run([COMPILER, *board.flags, *objects, *scripts, *link, "-o", str(image)])
    return "".join(path.read_text() for path in sorted(folder.glob("*.su")))


def _key(
    board: Board, programs: Sequence[Path], files: Mapping[str, str], flags: Sequence[str]
) -> str:
    digest = hashlib.sha256()
    version = _run([COMPILER, "--version"])
    digest.update(repr((board, version, FLAGS, tuple(flags))).encode())
    for name, text in sorted(files.items()):
        digest.update(f"{name}\0{text}\0".encode())
    ours = [path for ending in ("hpp", "cpp", "ld") for path in sources().rglob(f"*.{ending}")]
    for path in [*programs, *sorted(ours)]:
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:24]


def _run(command: list[str]) -> str:
    """Run a tool of the toolchain; SdiwmError with its first complaint where it fails."""
    if shutil.which(command[0]) is None:
        raise SdiwmError(f"The cross-compiler `{command[0]}` is missing: {TOOLCHAIN_REMEDY}.")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SdiwmError(f"`{command[0]}` did not run ({error}): {TOOLCHAIN_REMEDY}.") from error
    if done.returncode:
        lines = [
            line
            for line in done.stderr.splitlines()
            if any(word in line for word in ("error", "exceed", "overflowed"))
        ] or [done.stderr]
        raise SdiwmError(
            f"`{command[0]}` failed to build the firmware ({lines[0].strip()}); the toolchain "
            f"that is tested: {TOOLCHAIN_REMEDY}."
        )
    return done.stdout
