"""Pictures in mp4 files: written frame by frame, read by their time stamps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.importers.pictures import fitted
from sdiwm_model.errors import SdiwmError

KEYFRAMES = "2"  # a key frame every so many pictures: training reads at random
LOSSY = {"codec": "libx264", "pixels": "yuv420p", "options": {"crf": "18", "preset": "veryfast"}}
LOSSLESS = {"codec": "libx264rgb", "pixels": "rgb24", "options": {"qp": "0", "preset": "veryfast"}}


class VideoFile:
    """Writes pictures (H, W, 3) uint8 at a constant rate.

    Lossy is H.264 in yuv420p, which every reader knows; lossless is H.264 in RGB, bit for bit.
    """

    def __init__(self, path: Path, fps: int, size: tuple[int, int], lossless: bool) -> None:
        import av

        kind: Any = LOSSLESS if lossless else LOSSY
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.frames = 0
        self._container = av.open(str(path), "w")
        stream: Any = self._container.add_stream(kind["codec"], rate=fps)
        stream.height, stream.width = size
        stream.pix_fmt = kind["pixels"]
        stream.options = {"g": KEYFRAMES, **kind["options"]}
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, pictures: NDArray[np.uint8]) -> None:
        """Append pictures (T, H, W, 3)."""
        import av

        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = self.frames
            self._container.mux(self._stream.encode(frame))
            self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        self._container.mux(self._stream.encode())
        self._container.close()


def check_video_size(height: int, width: int, lossless: bool) -> None:
    """Refuse sizes that yuv420p cannot hold.

    Raises:
        SdiwmError: a side is odd and the video is not to be lossless.
    """
    if not lossless and (height % 2 or width % 2):
        raise SdiwmError(
            f"pictures of {height} x {width}: lossy video needs even sides; use --lossless"
        )


def pictures_at(
    path: Path, times: Sequence[float], tolerance: float, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The pictures (T, H, W, 3) shown nearest to each of `times`, in s, which ascend.

    Args:
        tolerance: s that a picture may be off.
        size: height and width that pictures are brought to as they are decoded.

    Raises:
        SdiwmError: the file is missing or damaged, or shows nothing at one of the times.
    """
    found: list[NDArray[np.uint8]] = []
    previous: tuple[float, Any] | None = None
    with _opened(path) as container:
        for time, frame in _frames(container, times[0] - tolerance):
            while len(found) < len(times) and times[len(found)] < time:
                wanted = times[len(found)]
                before = previous is not None and wanted - previous[0] <= time - wanted
                nearest = previous if before and previous is not None else (time, frame)
                if abs(nearest[0] - wanted) > tolerance:
                    raise SdiwmError(f"{path} shows nothing at {wanted:.3f} s")
                found.append(fitted(nearest[1].to_ndarray(format="rgb24"), size))
            previous = (time, frame)
            if len(found) == len(times):
                return np.stack(found)
        for wanted in times[len(found) :]:
            if previous is None or abs(previous[0] - wanted) > tolerance:
                raise SdiwmError(f"{path} shows nothing at {wanted:.3f} s; is it cut short?")
            found.append(fitted(previous[1].to_ndarray(format="rgb24"), size))
    return np.stack(found)


def _frames(container: Any, start: float) -> Iterator[tuple[float, Any]]:
    """Decoded frames and their times in s, from the key frame before `start` on."""
    stream = container.streams.video[0]
    if start > 0:
        container.seek(int(start / stream.time_base), stream=stream, backward=True)
    for frame in container.decode(stream):
        if frame.pts is not None:
            yield float(frame.pts * stream.time_base), frame


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import av

    if not path.is_file():
        raise SdiwmError(f"{path} is missing")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SdiwmError(f"{path} holds no video")
            yield container
    except av.FFmpegError as error:
        raise SdiwmError(f"{path} cannot be decoded: {error}") from None
