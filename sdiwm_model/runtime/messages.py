"""The wire protocol between host and microcontroller: one description, two languages.

A frame is COBS(number u8, version u8, sequence u16, payload, CRC-32) and a zero byte. Payloads are
little-endian structures of fixed size; `generate_messages` writes the same ones as C++. Latents and
actions are the engine's integers, so nothing on the wire can be NaN.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdiwm_model.compression.quantised_model import QuantisedModel

PROTOCOL_VERSION = 2
WATCHDOG_MS = 100  # of silence, after which the chip falls back to the safe action
HEADER = struct.Struct("<BBH")
CHECKSUM = struct.Struct("<I")
IMAGE_CHUNK = 1024  # bytes of a picture in one message; the last one is padded

_SCALARS = {"u8": ("B", "uint8_t", 1), "u16": ("H", "uint16_t", 2), "u32": ("I", "uint32_t", 4)}
_SCALARS |= {"i16": ("h", "int16_t", 2), "i32": ("i", "int32_t", 4)}


@dataclass(frozen=True)
class Field:
    """One member of a payload; `count` is a number or a name of `WireSizes`, None a scalar."""

    name: str
    kind: str
    count: int | str | None = None


@dataclass(frozen=True)
class Message:
    """One kind of frame; fields lie at multiples of their own size, without padding."""

    name: str
    number: int
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class WireSizes:
    """What payload sizes depend on: the model's, and the maxima the firmware was built for."""

    latent: int
    action: int
    fusion_input: int
    proprio: int
    hidden: int
    head: int
    prior: int
    candidates: int
    horizon: int

    @classmethod
    def of(cls, q: QuantisedModel, candidates: int, horizon: int) -> WireSizes:
        """The sizes of a quantised model."""
        return cls(
            latent=q.latent,
            action=q.action,
            fusion_input=q.features + q.proprio,
            proprio=q.proprio,
            hidden=len(q.layers["input"].weight),
            head=len(q.layers["cost_input"].weight),
            prior=len(q.layers["prior_input"].weight) if q.prior else 0,
            candidates=candidates,
            horizon=horizon,
        )

    def count(self, name: int | str) -> int:
        """Elements of an array."""
        if isinstance(name, int):
            return name
        derived = {
            "moves": self.horizon * self.action,
            "goal_words": self.hidden + 2 * self.head + self.prior,
        }
        return int(derived[name] if name in derived else getattr(self, name))


COUNTERS = (
    "frames",  # accepted
    "corrupt",  # wrong checksum
    "truncated",  # not COBS, or shorter than a frame can be
    "oversized",
    "old_version",
    "unknown",  # no such message
    "wrong_size",
    "repeated",
    "reordered",
    "not_ready",  # before the handshake, without goal or settings, or stopped
    "other_model",
    "out_of_range",
    "no_encoder",
    "watchdog",  # times that a silent host made the chip fall back to the safe action
    "plans",
    "lost_bytes",  # that came while the receive buffer was full
    "chunk_order",  # chunks of a picture after a gap, repeated, or of another picture
    "partial_picture",  # wishes to encode or fuse a picture that is not there, or not whole
    "pictures",  # encoded
)
"""What the chip counts since its start, in the order of `Statistics.counter`."""

REASONS = (
    "a frame's protocol version is not {mine}: it is {detail}",
    "there is no message number {detail}",
    "a message has {detail} bytes, which is not its size",
    "a frame repeats sequence number {detail}",
    "a frame comes late, with sequence number {detail}",
    "no handshake was made yet",
    "the host's model is another one than that of the firmware",
    "no goal was set yet",
    "no settings were set yet",
    "the chip was stopped; a new handshake wakes it",
    "setting number {detail} is out of its range",
    "the goal's word number {detail} is out of its range",
    "the input's number {detail} is out of its range",
    "the latent's number {detail} is out of its range",
    "the warm start's number {detail} is out of its range",
    "this firmware has no image encoder: send features by `fuse`",
    "no chunk of a picture begins at byte {detail}",
    "a picture's chunks come in order and without gaps: byte {detail} is the next one",
    "the picture to be encoded is not whole: byte {detail} is the next one",
    "picture number {detail} is not the newest one that was encoded",
)
"""Why the chip refuses, in words, by `Refusal.reason`."""

REASON_NAMES = (
    "kOldVersion", "kUnknown", "kWrongSize", "kRepeated", "kReordered", "kNoHandshake",
    "kOtherModel", "kNoGoal", "kNoSettings", "kStopped", "kSettingRange", "kGoalRange",
    "kInputRange", "kLatentRange", "kWarmStartRange", "kNoEncoder",
    "kChunkRange", "kChunkOrder", "kPartialPicture", "kNoPicture",
)  # fmt: skip

MESSAGES = (
    # From the host.
    Message("Hello", 1, (Field("model", "u8", 8),)),
    Message("SetGoal", 2, (Field("word", "u32", "goal_words"),)),
    Message("SetSettings", 3, (Field("word", "i32", 16),)),
    Message("Fuse", 4, (Field("input", "i16", "fusion_input"),)),
    Message(
        "PlanRequest",
        5,
        (
            Field("plan", "u32"),  # number of the plan: the noise's key
            Field("cold", "u32"),  # 1: without warm start
            Field("latent", "i16", "latent"),
            Field("mean", "i16", "moves"),
        ),
    ),
    Message("ReadStatistics", 6, ()),
    Message("Heartbeat", 7, ()),
    Message("Stop", 8, ()),
    Message(
        "ImageChunk",
        9,
        (Field("picture", "u32"), Field("offset", "u32"), Field("bytes", "u8", IMAGE_CHUNK)),
    ),
    Message("Encode", 10, (Field("picture", "u32"), Field("first", "u32"))),  # 1: forget others
    Message("FuseSeen", 11, (Field("picture", "u32"), Field("proprio", "i16", "proprio"))),
    # From the chip; `answers` is the sequence number of what is answered.
    Message(
        "Identity",
        64,
        (
            Field("answers", "u16"),
            Field("latent", "u16"),
            Field("action", "u16"),
            Field("fusion_input", "u16"),
            Field("candidates", "u16"),
            Field("horizon", "u16"),
            Field("watchdog_ms", "u16"),
            Field("has_encoder", "u16"),
            Field("ticks_per_second", "u32"),
            Field("model", "u8", 8),
            Field("board", "u8", 16),
        ),
    ),
    Message("Done", 65, (Field("answers", "u16"),)),
    Message(
        "Refusal",
        66,
        (Field("answers", "u16"), Field("reason", "u16"), Field("detail", "u32")),
    ),
    Message(
        "Latent",
        67,
        (Field("answers", "u16"), Field("unused", "u16"), Field("ticks", "u32"),
         Field("latent", "i16", "latent")),
    ),
    Message(
        "Plan",
        68,
        (
            Field("answers", "u16"),
            Field("unused", "u16"),
            Field("cost", "i32"),
            Field("ticks", "u32"),
            Field("mean", "i16", "moves"),
        ),
    ),
    Message(
        "Statistics",
        69,
        (
            Field("answers", "u16"),
            Field("safe", "u16"),  # 1: the action is the safe one
            Field("counter", "u32", len(COUNTERS)),
            Field("stack_peak", "u32"),
            Field("action", "i16", "action"),  # what the robot is told just now
        ),
    ),
    Message(
        "Encoded", 71, (Field("answers", "u16"), Field("unused", "u16"), Field("ticks", "u32"))
    ),
    Message("Safe", 70, (Field("silent_ms", "u32"),)),  # unasked, once for each silence
)  # fmt: skip

BY_NAME = {message.name: message for message in MESSAGES}
BY_NUMBER = {message.number: message for message in MESSAGES}


class Codec:
    """Payloads and frames of one model's protocol."""

    def __init__(self, sizes: WireSizes) -> None:
        self.sizes = sizes
        self._structs = {message.name: self._struct(message) for message in MESSAGES}

    def payload_size(self, name: str) -> int:
        """Bytes of a message's payload."""
        return self._structs[name].size

    def encode(self, name: str, sequence: int, values: Mapping[str, Any]) -> bytes:
        """A whole frame, with its delimiter; arrays are any sequences of integers."""
        message = BY_NAME[name]
        flat: list[int] = []
        for field in message.fields:
            flat.extend([values[field.name]] if field.count is None else values[field.name])
        payload = self._structs[name].pack(*flat)
        return frame(message.number, sequence, payload)

    def decode(self, number: int, payload: bytes) -> tuple[str, dict[str, Any]] | None:
        """Message name and fields, arrays as tuples; None for what is no message of ours."""
        message = BY_NUMBER.get(number)
        if message is None or len(payload) != self.payload_size(message.name):
            return None
        flat = self._structs[message.name].unpack(payload)
        values: dict[str, Any] = {}
        at = 0
        for field in message.fields:
            if field.count is None:
                values[field.name] = flat[at]
                at += 1
            else:
                count = self.sizes.count(field.count)
                values[field.name] = flat[at : at + count]
                at += count
        return message.name, values

    def _struct(self, message: Message) -> struct.Struct:
        layout, offset = "<", 0
        for field in message.fields:
            letter, _, size = _SCALARS[field.kind]
            count = 1 if field.count is None else self.sizes.count(field.count)
            assert offset % size == 0, f"{message.name}.{field.name} is not aligned"
            layout += f"{count}{letter}"
            offset += count * size
        alignment = max([1, *(_SCALARS[field.kind][2] for field in message.fields)])
        return struct.Struct(layout + f"{-offset % alignment}x")  # as a C++ structure ends


def frame(number: int, sequence: int, payload: bytes, version: int = PROTOCOL_VERSION) -> bytes:
    """COBS-encoded header, payload and checksum, and the delimiter."""
    body = HEADER.pack(number, version, sequence & 0xFFFF) + payload
    return cobs_encode(body + CHECKSUM.pack(zlib.crc32(body))) + b"\0"


def open_frame(encoded: bytes) -> tuple[int, int, int, bytes] | None:
    """A frame without its delimiter -> number, version, sequence, payload; None where damaged."""
    body = cobs_decode(encoded)
    if body is None or len(body) < HEADER.size + CHECKSUM.size:
        return None
    content, checksum = body[: -CHECKSUM.size], body[-CHECKSUM.size :]
    if CHECKSUM.pack(zlib.crc32(content)) != checksum:
        return None
    number, version, sequence = HEADER.unpack_from(content)
    return number, version, sequence, content[HEADER.size :]


def cobs_encode(data: bytes) -> bytes:
    """Consistent overhead byte stuffing (Cheshire and Baker, 1999): no zero remains."""
    out = bytearray()
    for part in data.split(b"\0"):
        while len(part) >= 254:
            out += b"\xff" + part[:254]
            part = part[254:]
        out += bytes([len(part) + 1]) + part
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """The inverse of `cobs_encode`; None for what it never returns."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        part = data[at + 1 : at + code]
        if code == 0 or len(part) != code - 1 or 0 in part:
            return None
        out += part
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def generate_messages(sizes: WireSizes, model_hash: bytes) -> str:
    """The header messages.hpp: structures, numbers, counters, and this model's hash."""
    codec = Codec(sizes)
    lines = [
        "// Generated by sdiwm_model/runtime/messages.py; do not edit.",
        "#pragma once",
        "",
        "#include <stdint.h>",
        "",
        "namespace sdiwm {",
        "namespace wire {",
        "",
        f"constexpr uint8_t kProtocolVersion = {PROTOCOL_VERSION};",
        f"constexpr uint32_t kWatchdogMs = {WATCHDOG_MS};",
        f"constexpr uint32_t kImageChunk = {IMAGE_CHUNK};",
        f"constexpr uint8_t kModelHash[8] = {{{', '.join(str(b) for b in model_hash)}}};",
        "",
    ]
    for message in MESSAGES:
        lines += [
            f"struct {message.name} {{",
            f"  static constexpr uint8_t kNumber = {message.number};",
        ]
        for field in message.fields:
            suffix = "" if field.count is None else f"[{sizes.count(field.count)}]"
            lines.append(f"  {_SCALARS[field.kind][1]} {field.name}{suffix};")
        lines.append("};")
        if message.fields:
            size = codec.payload_size(message.name)
            lines.append(f'static_assert(sizeof({message.name}) == {size}, "as in Python");')
        lines.append("")
    largest = max(codec.payload_size(message.name) for message in MESSAGES)
    names = ", ".join("k" + "".join(p.title() for p in name.split("_")) for name in COUNTERS)
    lines += [
        f"constexpr uint32_t kLargestPayload = {largest};",
        f"enum Counter : uint32_t {{ {names}, kCounters }};",
        f"enum Reason : uint16_t {{ {', '.join('kRefuse' + name[1:] for name in REASON_NAMES)} }};",
        "",
        "}  // namespace wire",
        "}  // namespace sdiwm",
        "",
    ]
    return "\n".join(lines)
