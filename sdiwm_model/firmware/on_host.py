"""The firmware's command handler compiled for this machine: behind a pipe, and a fuzzer."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.program import Contents, generated_sources
from sdiwm_model.runtime.build import find_compiler, sources
from sdiwm_model.runtime.messages import BY_NAME, Codec

FLAGS = (
    "-std=c++17",
    "-O1",
    "-g",
    "-fno-exceptions",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
)
STOP_TIMEOUT_S = 20.0
# gcc 12 takes the undefined value in its own AVX-512 header for a mistake (bug 105593).
FAST = ("-O2", "-march=native", "-Wno-uninitialized", "-Wno-maybe-uninitialized")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class HostLine:
    """See runtime.link.Line: the command handler of `build_link` behind a pipe."""

    def __init__(self, program: Path) -> None:
        self._answers = b""
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def write(self, data: bytes) -> None:
        """Send bytes, and keep what comes back."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        if self._process.poll() is not None or stdin.closed:
            raise SdiwmError("The command handler on this machine has ended.")
        stdin.write(struct.pack("<II", 0, len(data)) + data)
        stdin.flush()
        (size,) = struct.unpack("<I", stdout.read(4))
        self._answers += stdout.read(size)

    def read_some(self, timeout_s: float) -> bytes:
        """What has come back; a handler that says nothing has nothing more to say."""
        data, self._answers = self._answers, b""
        return data

    def close(self) -> None:
        """End the program; SdiwmError where a sanitizer ended it."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        if stdin.closed:
            return
        stdin.close()
        status = self._process.wait(STOP_TIMEOUT_S)
        stdout.close()
        if status:
            raise SdiwmError("The command handler on this machine was ended by a sanitizer.")


def build_link(contents: Contents, folder: Path, flags: Sequence[str] = SANITIZERS) -> Path:
    """mcu_firmware/tests/link_host.cpp as a program in `folder`."""
    return _build(find_compiler(), "link_host.cpp", contents, folder, flags)


def build_fuzzer(contents: Contents, folder: Path) -> Path:
    """mcu_firmware/tests/fuzz.cpp as a program in `folder`; SdiwmError without clang."""
    clang = shutil.which("clang++") or shutil.which("clang")
    if clang is None:
        raise SdiwmError(
            "libFuzzer comes with clang: `sudo apt-get install clang libclang-rt-14-dev`."
        )
    flags = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
    return _build(clang, "fuzz.cpp", contents, folder, flags)


def seed_corpus(contents: Contents, corpus: Path) -> None:
    """A whole session for the fuzzer to begin with: handshake, settings, goal, picture, plan."""
    codec = Codec(contents.wire_sizes)

    def piece(name: str, chosen: bytes = b"") -> bytes:
        """A frame of zeros as tests/fuzz.cpp reads it, of the right size and number."""
        return bytes([100, BY_NAME[name].number, *bytes(codec.payload_size(name)), *chosen, 0, 0])

    settings = piece("SetSettings", bytes([5, 3, 255]))  # 8 candidates, 4 steps, nothing odd
    picture = bytes([0, 1, 255, 1, 128, *range(16), *bytes(codec.payload_size("FuseSeen") - 4)])
    session = [piece("Hello"), settings, piece("SetGoal"), picture, piece("Fuse")]
    corpus.mkdir(parents=True, exist_ok=True)
    for count in range(1, len(session) + 1):
        whole = b"".join([*session[:count], piece("PlanRequest"), piece("ReadStatistics")])
        (corpus / f"session-{count}").write_bytes(whole)


def fuzz(program: Path, corpus: Path, seconds: int) -> None:
    """Search for `seconds`, keeping findings in `corpus`; SdiwmError where one is a fault."""
    limits = [
        f"-max_total_time={seconds}", "-max_len=4096", "-len_control=0", "-timeout=300",
        "-print_final_stats=1",
    ]  # fmt: skip
    done = subprocess.run([program, *limits, f"-artifact_prefix={corpus.parent}/", corpus])
    if done.returncode:
        raise SdiwmError(
            f"The fuzzer found a fault; its input lies in {corpus.parent}: run `{program}` with "
            "that file to see it again."
        )


def _build(
    compiler: str,
    source: str,
    contents: Contents,
    folder: Path,
    flags: Sequence[str],
) -> Path:
    files = generated_sources(contents)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    root = sources()
    program = folder / Path(source).stem
    include = [f"-I{folder}", f"-I{root}", f"-I{root / 'kernels'}"]
    command = [
        compiler, *FLAGS, *flags, *include, str(root / "tests" / source),
        *(str(folder / name) for name in files if name.endswith(".cpp")), "-lstdc++",
        "-o", str(program),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode:
        raise SdiwmError(f"{source} does not compile: {done.stderr.strip()[-2000:]}")
    return program
