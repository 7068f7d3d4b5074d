"""Requests and answers between this machine and a microcontroller, whatever joins them.

A `Line` carries bytes: a serial port, a TCP socket, a pty, or an emulator. A `Link` makes frames
of them: handshake, sequence numbers, timeouts, repetition, reconnection, statistics.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.messages import (
    BY_NAME,
    COUNTERS,
    PROTOCOL_VERSION,
    REASON_NAMES,
    REASONS,
    Codec,
    open_frame,
)

if TYPE_CHECKING:
    import serial

BAUD = 921_600
LONGEST_FRAME = 4096
KEPT_TRIPS = 4096  # of the newest round trips
WAKING = {"kNoHandshake", "kNoGoal", "kNoSettings", "kStopped"}  # cured by a new handshake


class Line(Protocol):
    """Bytes to and from the other side. Methods raise SdiwmError when it is gone."""

    def write(self, data: bytes) -> None:
        """Send all bytes."""
        ...

    def read_some(self, timeout_s: float) -> bytes:
        """What has come, at least one byte; empty where nothing comes in time."""
        ...

    def close(self) -> None:
        """Give the line up; more calls do nothing."""
        ...


class SerialLine:
    """A serial port by pyserial: a device, a pty, or a URL such as socket://HOST:PORT."""

    def __init__(self, url: str, baud: int = BAUD) -> None:
        import serial

        self.url = url
        self._errors = (serial.SerialException, OSError)
        try:
            self._port: serial.SerialBase = serial.serial_for_url(url, baudrate=baud)
        except (*self._errors, ValueError) as error:
            raise SdiwmError(
                f"The port {url} cannot be opened ({error}): check the cable, its name, and that "
                "you may use it (on Debian, membership of the group dialout)."
            ) from None

    def write(self, data: bytes) -> None:
        """See `Line`."""
        try:
            self._port.write(data)
        except self._errors as error:
            raise self._gone(error) from None

    def read_some(self, timeout_s: float) -> bytes:
        """See `Line`."""
        try:
            self._port.timeout = timeout_s
            first = bytes(self._port.read(1))
            waiting = self._port.in_waiting if first else 0
            return first + (bytes(self._port.read(waiting)) if waiting else b"")
        except self._errors as error:
            raise self._gone(error) from None

    def close(self) -> None:
        """See `Line`."""
        self._port.close()

    def _gone(self, error: Exception) -> SdiwmError:
        return SdiwmError(f"The port {self.url} is gone ({error}): check the cable.")


class RefusedError(SdiwmError):
    """The chip said no; `reason` is its name among `REASON_NAMES`, `detail` its number."""

    def __init__(self, request: str, reason: int, detail: int) -> None:
        known = reason < len(REASONS)
        self.reason = REASON_NAMES[reason] if known else "unknown"
        self.detail = detail
        text = REASONS[reason] if known else f"reason {reason}, which this release does not know"
        said = text.format(detail=detail, mine=PROTOCOL_VERSION)
        super().__init__(f"The microcontroller refused {request}: {said}.")


@dataclass
class LinkStatistics:
    """What this side counts; round trips in milliseconds of wall time."""

    sent: int = 0
    answered: int = 0
    repeated: int = 0  # requests sent again, under a new number, after silence
    reconnected: int = 0
    refused: int = 0
    damaged: int = 0  # frames that came damaged
    unexpected: int = 0  # whole frames that answer nothing that was asked
    went_safe: int = 0  # times the chip reported that this side was silent for too long
    round_trip_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TRIPS))


class Link:
    """Requests one after another.

    Args:
        open_line: opens the line, the first time and whenever it is gone.
        codec: of the firmware's protocol.
        model: hash of the model, eight bytes; a firmware with another one is refused.
        timeout_s: for one answer.
        tries: how often a request is sent before the chip counts as gone.
    """

    def __init__(
        self,
        open_line: Callable[[], Line],
        codec: Codec,
        model: bytes,
        timeout_s: float,
        tries: int = 3,
    ) -> None:
        self.statistics = LinkStatistics()
        self.told = b""  # goal and settings that the chip holds; kept by the planners
        self._open_line, self._codec, self._model = open_line, codec, model
        self._timeout, self._tries = timeout_s, tries
        self._sequence = 0
        self._buffer = b""
        self._line: Line | None = None
        self.identity = self.greet()

    def greet(self) -> dict[str, Any]:
        """Open the line where it is not, and shake hands; the chip then knows no goal.

        Raises:
            SdiwmError: no answer, or an answer of another protocol, model or size.
        """
        if self._line is None:
            self._line = self._open_line()
            self._buffer = b""
            self._line.write(b"\0")  # ends whatever the other side has half received
        identity = self._ask("Hello", {"model": self._model})
        if bytes(identity["model"]) != self._model:
            raise SdiwmError("The chip runs another model: flash this bundle's firmware.")
        self.told = b""
        self.identity = identity
        return identity

    @property
    def board(self) -> str:
        """The name by which the board answered."""
        return bytes(self.identity["board"]).rstrip(b"\0").decode("ascii", "replace")

    def ask(self, request: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return the fields of its answer, reconnecting once if need be.

        Raises:
            RefusedError: the chip refuses.
            SdiwmError: it does not answer.
        """
        try:
            if self._line is None:
                self.greet()
            return self._ask(request, values or {})
        except RefusedError:
            raise
        except SdiwmError:
            self.close()
            self.statistics.reconnected += 1
            self.greet()
            return self._ask(request, values or {})

    def read_statistics(self) -> dict[str, Any]:
        """What the chip counts: by the names of `COUNTERS`, and safe, stack_peak and action."""
        answer = self.ask("ReadStatistics")
        counted = dict(zip(COUNTERS, answer["counter"], strict=True))
        return counted | {key: answer[key] for key in ("safe", "stack_peak", "action")}

    def close(self) -> None:
        """Give the line up; the next request opens it again."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _ask(self, request: str, values: Mapping[str, Any]) -> dict[str, Any]:
        for attempt in range(self._tries):
            self.statistics.repeated += attempt > 0
            self._sequence = (self._sequence + 1) & 0xFFFF
            answer = self._exchange(request, values, self._sequence)
            if answer is not None:
                return answer
        waited = self._tries * self._timeout
        raise SdiwmError(
            f"The microcontroller did not answer {request} within {waited:.1f} s: check that the "
            "firmware of this release runs on it (`sdiwm firmware flash`), and the cable."
        )

    def _exchange(
        self, request: str, values: Mapping[str, Any], sequence: int
    ) -> dict[str, Any] | None:
        assert self._line is not None
        began = time.perf_counter()
        self._line.write(self._codec.encode(request, sequence, values))
        self.statistics.sent += 1
        end = time.monotonic() + self._timeout
        while (found := self._next_frame(end)) is not None:
            name, fields = found
            if name == "Safe":
                self.statistics.went_safe += 1
            elif fields.get("answers") != sequence or BY_NAME[name].number < 64:
                self.statistics.unexpected += 1
            elif name == "Refusal":
                self.statistics.refused += 1
                raise RefusedError(request, fields["reason"], fields["detail"])
            else:
                self.statistics.answered += 1
                self.statistics.round_trip_ms.append(1e3 * (time.perf_counter() - began))
                return fields
        return None

    def _next_frame(self, end: float) -> tuple[str, dict[str, Any]] | None:
        """The next whole message, or None when the time is over."""
        assert self._line is not None
        while True:
            encoded, delimiter, rest = self._buffer.partition(b"\0")
            if not delimiter:
                more = self._line.read_some(max(0.0, end - time.monotonic()))
                if not more:
                    return None
                self._buffer = (self._buffer + more)[-LONGEST_FRAME:]
                continue
            self._buffer = rest
            if not encoded:
                continue
            opened = open_frame(encoded)
            if opened is None:
                self.statistics.damaged += 1
                continue
            number, version, _, payload = opened
            message = self._codec.decode(number, payload) if version == PROTOCOL_VERSION else None
            if message is None:
                raise SdiwmError(
                    f"The microcontroller speaks protocol version {version}, or is built for a "
                    f"model of other sizes; this release speaks {PROTOCOL_VERSION}: flash this "
                    "bundle's firmware (`sdiwm firmware flash`)."
                )
            return message
