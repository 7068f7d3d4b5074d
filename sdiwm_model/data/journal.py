"""What a long import has finished, so that the same command goes on after a kill.

One line of JSON a finished shard, appended after the shard is in place, each with a checksum: a
line that a kill tore in two does not count. The first line says what is being written; another
import is refused the folder.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sdiwm_model.data.manifest import JOURNAL, with_checksum
from sdiwm_model.errors import SdiwmError


class Journal:
    """The journal of one folder, held by one process at a time.

    entries: one for each finished shard, in order: {shard, behaviours, failures, place}.
    plan: what is being written, as the first run of this import said it.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], compared: tuple[str, ...]) -> None:
        self._folder = folder
        self._path = folder / JOURNAL
        self._compared = compared
        self.plan = json.loads(json.dumps(plan))
        self.entries: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Take hold of the folder.

        Raises:
            SdiwmError: another process writes there, or the folder holds another import.
        """
        self._stream = self._path.open("ab+")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._stream.close()
            raise SdiwmError(
                f"another import is writing to {self._folder}; wait for it or name another folder"
            ) from None
        try:
            self._recall()
        except BaseException:
            self._stream.close()
            raise
        return self

    def _recall(self) -> None:
        """Read what is whole, and cut off the rest."""
        self._stream.seek(0)
        kept, before = 0, None
        for number, text in enumerate(self._stream):
            line = _checked(text)
            if line is None or (number > 0 and not self._in_place(line["shard"])):
                break  # torn, or its shard was lost with the power: written again from here on
            if number == 0:
                before = line["plan"]
            else:
                self.entries.append(line)
            kept += len(text)
        if before is not None and self.entries:
            self._compare(before)
            self._stream.truncate(kept)
        else:  # nothing is finished, so nothing has to fit
            self._stream.truncate(0)
            self._append({"plan": self.plan})

    def _compare(self, before: dict[str, Any]) -> None:
        for name in self._compared:
            if before[name] != self.plan[name]:
                raise SdiwmError(
                    f"{self._folder} holds an unfinished import that differs from this one in its "
                    f"{name}; give the same command again, or remove the folder"
                )
        self.plan = before

    def _in_place(self, shard: Mapping[str, Any]) -> bool:
        path = self._folder / shard["file"]
        return path.is_file() and path.stat().st_size == shard["bytes"]

    def finish(self, entry: Mapping[str, Any]) -> None:
        """Note a shard that is in place."""
        self.entries.append(dict(entry))
        self._append(entry)

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(with_checksum(line)).encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise SdiwmError(
                f"{self._path} cannot be written ({error.strerror}); make room on that disk and "
                "give the same command again"
            ) from None

    def remove(self) -> None:
        """Forget everything, when all is done or nothing is."""
        self._path.unlink(missing_ok=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()


def _checked(text: bytes) -> dict[str, Any] | None:
    """The content of a line, None where it was torn."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or with_checksum(line) != line:
        return None
    line.pop("checksum")
    return line
