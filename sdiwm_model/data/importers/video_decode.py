"""One video file into clips, and every reason why a part of it makes none.

Pictures are taken at the times k / fps after the first one: whichever the video shows then, by its
time stamps, so a variable frame rate neither stretches nor squeezes time. Where pictures cannot be
decoded or time stamps jump, the clip ends and the next begins behind it: no clip spans damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from sdiwm_model.data.episodes import Episode
from sdiwm_model.data.importers.video_settings import VideoSettings

Picture = NDArray[np.uint8]
T = TypeVar("T")
EPSILON = 5e-4  # s; some containers round time stamps to milliseconds
UNEVEN = 0.5  # frame distances that differ by more than this share are a variable frame rate
CUT_SHORT = 0.5  # s missing at the end from which on a file counts as cut short


@dataclass(frozen=True)
class VideoSource:
    """A file to decode. name: its path below the import's source; label: what it shows, or ""."""

    path: Path
    name: str
    label: str = ""
    note: str = ""


@dataclass
class Outcome:
    """What became of a source. reasons: what is missing and why; notes: what is unusual."""

    name: str
    clips: int = 0
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Whether the source is there whole, in part, or lost."""
        if not self.clips:
            return "lost"
        return "in part" if self.reasons else "whole"


def clips_of(source: VideoSource, settings: VideoSettings) -> Iterator[Episode | Outcome]:
    """Yield the clips of a file in order, one in memory at once, and last its outcome.

    Nothing that is wrong with the file raises: the outcome says it.
    """
    outcome = Outcome(source.name, notes=[source.note] if source.note else [])
    frames = _room(settings)
    count, start = 0, 0.0
    samples = _until_unusable(_sampled(source.path, settings, outcome), outcome)
    for sample in samples:
        if sample is not None:
            start = sample[0] if count == 0 else start
            frames[count] = sample[1]
            count += 1
        if count and (sample is None or count == settings.clip):
            outcome.clips += 1
            yield clip_of(frames[:count], source, start)
            frames, count = _room(settings), 0
    if count:
        outcome.clips += 1
        yield clip_of(frames[:count], source, start)
    if not outcome.clips and not outcome.reasons:
        outcome.reasons.append("no frame could be decoded")
    yield outcome


def _room(settings: VideoSettings) -> Picture:
    """Where the frames of one clip go; memory is taken as they come."""
    return np.empty((settings.clip, settings.size, settings.size, 3), np.uint8)


def clip_of(frames: Picture, source: VideoSource, start: float) -> Episode:
    """The episode of frames uint8 (T, H, W, 3) that begin `start` s into a source."""
    none = np.zeros((len(frames), 0), np.float32)
    return Episode(
        frames, none, none, none, none, instruction=source.label, goal=-1, behaviour="video",
        seed=0, source=source.name, start=round(start, 6),
    )  # fmt: skip


def _until_unusable(samples: Iterator[T], outcome: Outcome) -> Iterator[T]:
    """The samples up to a picture that FFmpeg decodes but cannot turn into RGB."""
    try:
        yield from samples
    except (av.FFmpegError, ValueError) as error:
        outcome.reasons.append(f"a picture cannot be converted ({error})")


def _sampled(
    path: Path, settings: VideoSettings, outcome: Outcome
) -> Iterator[tuple[float, Picture] | None]:
    """Pictures on the grid and their times, s after the first; None where the sequence breaks."""
    frames = _Frames(path, outcome)
    grid = _Grid(settings.fps, _Scaler(settings.size, frames))
    begin: float | None = None
    for timed in frames:
        if timed is None:
            yield from grid.last(frames.duration)
            yield None
            continue
        begin = timed[0] if begin is None else begin
        time = timed[0] - begin
        if grid.shown_since is not None and time - grid.shown_since > settings.longest_hold:
            outcome.reasons.append(f"no picture between {grid.shown_since:.2f} and {time:.2f} s")
            yield from grid.last(frames.duration)
            yield None
        yield from grid.show(time, timed[1])
    yield from grid.last(frames.duration)


class _Grid:
    """The times k / fps, each filled with the picture that is shown then.

    shown_since: time of the frame shown just now, None where none is.
    """

    def __init__(self, fps: float, scaler: _Scaler) -> None:
        self.shown_since: float | None = None
        self._fps = fps
        self._scaler = scaler
        self._step = 0
        self._frame: Any = None
        self._picture: Picture | None = None  # of the frame, made where the grid asks for it

    def show(self, time: float, frame: Any) -> Iterator[tuple[float, Picture]]:
        """From `time` on `frame` is shown; yield what the one before it filled until then."""
        if self.shown_since is None:
            self._step = max(self._step, int(np.ceil((time - EPSILON) * self._fps)))
        else:
            yield from self._until(time)
        self.shown_since, self._frame, self._picture = time, frame, None

    def last(self, duration: float) -> Iterator[tuple[float, Picture]]:
        """Nothing is shown when the frame's `duration` is over; yield what it filled."""
        if self.shown_since is not None:
            yield from self._until(self.shown_since + duration)
        self.shown_since = self._frame = self._picture = None

    def _until(self, end: float) -> Iterator[tuple[float, Picture]]:
        while self._step / self._fps < end - EPSILON:
            if self._picture is None:
                self._picture = self._scaler.square(self._frame)
            yield self._step / self._fps, self._picture
            self._step += 1


class _Frames:
    """Decoded frames and their time stamps in s, None behind what could not be decoded.

    duration: s that the newest frame is shown, as far as is known; aspect: width of a pixel over
    its height. Both are known once iteration has begun.
    """

    def __init__(self, path: Path, outcome: Outcome) -> None:
        self._path = path
        self._outcome = outcome
        self._packets = 0
        self.duration = 0.0
        self.aspect = 1.0

    def __iter__(self) -> Iterator[tuple[float, Any] | None]:
        try:
            if self._path.stat().st_size == 0:
                self._outcome.reasons.append("the file is empty")
                return
            with av.open(str(self._path), metadata_errors="replace") as container:
                yield from self._of(container)
        except (av.FFmpegError, OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            self._outcome.reasons.append(f"the file cannot be read ({said})")

    def _of(self, container: Any) -> Iterator[tuple[float, Any] | None]:
        stream = container.streams.best("video")  # and no cover picture
        if stream is None:
            self._outcome.reasons.append("the file has no video")
            return
        if stream.codec_context is None:
            self._outcome.reasons.append("its video has a codec that is unknown here")
            return
        stream.codec_context.thread_count = 1  # files are decoded beside each other instead
        stream.codec_context.options = {"err_detect": "explode"}
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        usual = 1.0 / rate if rate else 0.0
        self.aspect = float(stream.sample_aspect_ratio or 1)
        damaged = _Damage(self._outcome)
        first = last = None
        broken = False
        distances: list[float] = []
        for number, frame in enumerate(self._decoded(container, stream, damaged)):
            if frame is None:
                broken = True
                yield None
                continue
            if frame.time is None and not rate:
                self._outcome.reasons.append("there are neither time stamps nor a frame rate")
                return
            time = frame.time if frame.time is not None else number * usual
            self.duration = float((frame.duration or 0) * (frame.time_base or 0)) or usual
            if last is not None and time <= last:
                damaged.add(f"a time stamp goes back from {last:.2f} to {time:.2f} s")
                broken = True
                yield None
                continue
            if last is not None and not broken:
                distances.append(time - last)
            broken = False
            first, last = time if first is None else first, time
            yield time, frame
        damaged.say()
        if last is not None and first is not None:
            self._judge_end(container, stream, last - first + self.duration)
            self._judge_rate(np.array(distances))

    def _decoded(self, container: Any, stream: Any, damaged: _Damage) -> Iterator[Any | None]:
        """Frames in the order of showing; after an error only from the next key frame on."""
        waiting = False
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                self._packets += packet.size > 0
                frames = packet.decode()
            except av.FFmpegError as error:
                if isinstance(error, av.error.EOFError):
                    return
                damaged.add(f"pictures cannot be decoded ({error.strerror})")
                if packet is None or packet.dts is None:
                    return
                yield None
                waiting = True
                continue
            for frame in frames:
                if frame.is_corrupt:
                    damaged.add("pictures are damaged")
                    yield None
                    waiting = True
                elif not waiting or frame.key_frame:
                    waiting = False
                    yield frame
                else:
                    damaged.dropped += 1

    def _judge_end(self, container: Any, stream: Any, seconds: float) -> None:
        """Compare what was decoded with what the file announces."""
        told = None
        if stream.duration is not None and stream.time_base is not None:
            told = float(stream.duration * stream.time_base)
        elif container.duration is not None and len(container.streams) == 1:
            told = container.duration / av.time_base
        if told is not None and told - seconds > max(CUT_SHORT, 2 * self.duration):
            self._outcome.reasons.append(
                f"it ends after {seconds:.2f} of {told:.2f} s: the file is cut short"
            )
        elif (listed := len(stream.index_entries)) > self._packets:
            self._outcome.reasons.append(
                f"it holds {self._packets} of the {listed} pictures it lists: the file is cut short"
            )

    def _judge_rate(self, distances: NDArray[np.float64]) -> None:
        if not len(distances):
            return
        low, middle, high = np.quantile(distances, [0.0, 0.5, 1.0])
        if high - low > UNEVEN * middle and high - low > 2 * EPSILON:
            self._outcome.notes.append(
                f"variable frame rate (pictures {1e3 * low:.0f} to {1e3 * high:.0f} ms apart), "
                "sampled by its time stamps"
            )


class _Damage:
    """Counts damage of a kind, so that a thousand bad packets are one reason."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._counts: dict[str, int] = {}
        self.dropped = 0

    def add(self, reason: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1

    def say(self) -> None:
        for reason, count in self._counts.items():
            self._outcome.reasons.append(reason if count == 1 else f"{reason}, {count} times")
        if self.dropped:
            self._outcome.reasons.append(
                f"{self.dropped} pictures up to the next key frame are left out"
            )


class _Scaler:
    """Cuts the centre square out of a frame and scales it to size x size RGB."""

    def __init__(self, size: int, frames: _Frames) -> None:
        self._size = size
        self._frames = frames
        self._scaler = VideoReformatter()

    def square(self, frame: Any) -> Picture:
        """The short side becomes `size`, with square pixels; the centre is cut out, upright."""
        size = self._size
        width = frame.width * self._frames.aspect
        scale = size / min(width, frame.height)
        wide, high = max(size, round(width * scale)), max(size, round(frame.height * scale))
        scaled = self._scaler.reformat(
            frame, width=wide, height=high, format="rgb24", interpolation="AREA", threads=1
        )
        left, top = (wide - size) // 2, (high - size) // 2
        picture = scaled.to_ndarray()[top : top + size, left : left + size]
        return np.rot90(picture, round(frame.rotation / 90) % 4)  # both counterclockwise
