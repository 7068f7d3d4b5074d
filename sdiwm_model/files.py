"""Files that appear whole or not at all, and their fingerprints."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdiwm_model.errors import SdiwmError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place if the block succeeds.

    The ending stays the same, since many writers choose the format by it. On any exception the
    temporary file is removed and `path` is left as it was.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; move it into place if the block succeeds.

    On any exception the folder and what is in it are removed; `path` must not exist.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def json_text(content: Any) -> str:
    """Return `content` as indented JSON; NaN and infinity raise ValueError."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` with `json_text`, atomically; the folder is made where it is missing."""
    path = Path(path)
    text = json_text(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json_object(path: Path | str, remedy: str) -> dict[str, Any]:
    """Return the JSON object in `path`; SdiwmError naming `remedy` if it is missing or damaged."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SdiwmError(f"{path} is missing; {remedy}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SdiwmError(f"{path} is not valid JSON ({error}); {remedy}") from None
    if not isinstance(content, dict):
        raise SdiwmError(f"{path} does not hold a JSON object; {remedy}")
    return content


def check_format_version(path: Path, found: object, read: int | str, remedy: str) -> None:
    """SdiwmError unless ``found``, a file's format_version, is the one that is ``read``."""
    if type(found) is type(read) and found == read:
        return
    told = f"format_version is {found!r}, this release reads {read}"
    if type(found) is type(read) and str(found).isdecimal() and int(str(found)) > int(read):
        told = f"format_version is {found}, this release reads {read}"
        raise SdiwmError(
            f"{path} was made by a newer release: {told}; upgrade sdiwm_ros, or {remedy}"
        )
    raise SdiwmError(f"{path}: {told}; {remedy}")


def check_writable(option: str, path: Path) -> None:
    """Raise before the long work, not after it, if the file `path` cannot be written.

    Raises:
        SdiwmError, OSError: `path`, named on the command line by `option`, is or lies in the wrong
            place. A missing folder is made.
    """
    if path.is_dir():
        raise SdiwmError(f"{option} {path} is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SdiwmError(
            f"{option} {path}: nothing can be written there ({error.strerror}); name another file"
        ) from None


def sha256_of_file(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
