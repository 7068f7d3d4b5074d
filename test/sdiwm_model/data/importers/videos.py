"""Videos for tests: what they show tells the time."""

from fractions import Fraction

import av
import numpy as np

SECOND = 30  # frames of the videos made here


def make_video(path, times=None, seconds=2.0, brightness=None, size=(32, 24), **options):
    """A video whose brightness tells the time: three levels more each tenth of a second."""
    times = np.arange(round(seconds * SECOND)) / SECOND if times is None else times
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=SECOND, options={"g": "15", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 600)
        for time in times:
            value = level(time) if brightness is None else brightness
            picture = np.full((size[1], size[0], 3), value, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * 600), Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def level(time):
    return 20 + 3 * int(time * 10 + 1e-6)


def cut(path, share, **options):
    content = make_video(path, seconds=6.0, **options).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
