"""Videos become clips on a grid of time; what is damaged is named, counted, and costs no more."""

import os
import struct
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from videos import SECOND, cut, level, make_video

from sdiwm_model.data.importers.video_decode import (
    EPSILON,
    Outcome,
    VideoSource,
    _Grid,
    clips_of,
)
from sdiwm_model.data.importers.video_ingest import ingest
from sdiwm_model.data.importers.video_settings import VideoSettings
from sdiwm_model.data.loader import load_episodes

SMALL = VideoSettings(size=16, fps=10.0, clip=8)


def decode(path, settings=SMALL):
    *clips, outcome = clips_of(VideoSource(path, path.name), settings)
    assert isinstance(outcome, Outcome)
    return clips, outcome


def brightness(clips):
    return np.concatenate([clip.frames.mean(axis=(1, 2, 3)) for clip in clips])


def test_a_video_is_sampled_on_the_grid_and_cut_into_clips(tmp_path):
    clips, outcome = decode(make_video(tmp_path / "a.mp4"))
    assert [clip.frames.shape for clip in clips] == [(8, 16, 16, 3), (8, 16, 16, 3), (4, 16, 16, 3)]
    assert [clip.start for clip in clips] == [0.0, 0.8, 1.6]
    np.testing.assert_allclose(brightness(clips), [level(k / 10) for k in range(20)], atol=1.4)
    assert (outcome.kind, outcome.reasons, outcome.notes) == ("whole", [], [])


def test_time_stamps_count_not_the_number_of_frames(tmp_path):
    """A variable frame rate: 30 a second, then one in five, then 30 again."""
    times = np.arange(90) / SECOND
    times = [t for t in times if not 1.0 <= t < 2.0 or round(t * SECOND) % 5 == 0]
    clips, outcome = decode(make_video(tmp_path / "a.mp4", times))
    seen = brightness(clips)
    shown = [level(max(t for t in times if t <= k / 10 + 1e-6)) for k in range(30)]
    np.testing.assert_allclose(seen, shown, atol=1.4)
    assert outcome.kind == "whole"
    assert outcome.notes == [
        "variable frame rate (pictures 33 to 167 ms apart), sampled by its time stamps"
    ]


def test_a_long_silence_ends_a_clip_and_is_named(tmp_path):
    times = [t for t in np.arange(180) / SECOND if not 1.0 <= t < 5.0]
    clips, outcome = decode(make_video(tmp_path / "a.mp4", times))
    assert [(len(clip), clip.start) for clip in clips] == [(8, 0), (2, 0.8), (8, 5.0), (2, 5.8)]
    assert outcome.reasons == ["no picture between 0.97 and 5.00 s"]
    assert outcome.kind == "in part"


def test_the_centre_is_cut_out_upright_and_undistorted(tmp_path):
    path = tmp_path / "a.mp4"
    picture = np.zeros((24, 48, 3), np.uint8)
    picture[:, 12:36] = 255  # a white square in the middle of a black wide picture
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 24, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    clips, _ = decode(path, VideoSettings(size=12, fps=10.0))
    assert clips[0].frames[0, :, 1:-1].min() > 230


def half_lit(path, turn=None):
    """The upper half is bright; `turn` is the matrix of the file's track header."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    if turn is not None:
        content = bytearray(path.read_bytes())
        at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes
        content[at : at + 36] = struct.pack(">9i", *turn)
        path.write_bytes(content)


def test_what_was_filmed_with_the_camera_turned_is_upright(tmp_path):
    """The matrix says: turned clockwise by 90 degrees, so that the top is shown on the right."""
    one = 1 << 16
    half_lit(tmp_path / "a.mp4")
    half_lit(tmp_path / "b.mp4", turn=(0, one, 0, -one, 0, 0, 32 * one, 0, one << 14))
    straight, turned = (decode(tmp_path / name)[0][0].frames[0] for name in ("a.mp4", "b.mp4"))
    np.testing.assert_array_equal(turned, np.rot90(straight, -1))
    assert turned[:, -4:].min() > 230
    assert turned[:, :4].max() < 25


def test_names_that_are_no_text_and_links_to_nowhere_cost_nothing_else(tmp_path):
    videos = tmp_path / "videos"
    make_video(videos / "a.mp4", seconds=0.5).rename(videos / os.fsdecode(b"\xff.mp4"))
    (videos / "b.mp4").symlink_to("nowhere.mp4")
    manifest = ingest([videos], SMALL, tmp_path / "out", "test")
    assert [each.source for each in load_episodes(tmp_path / "out")] == ["\ufffd.mp4"]
    assert manifest["failures"] == ["b.mp4: the file cannot be read (No such file or directory)"]


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    path = tmp_path / "a.mp4"
    picture = np.zeros((24, 24, 3), np.uint8)
    picture[:, 6:18] = 255  # 12 pixels wide, shown as 24
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 24, 24, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    clips, _ = decode(path, VideoSettings(size=24, fps=10.0))
    assert clips[0].frames[0, :, 2:-2].min() > 230


def garble(path):
    """Flip bytes in the middle of the pictures."""
    content = bytearray(make_video(path, seconds=6.0, movflags="faststart").read_bytes())
    begin = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    for at in range(begin, begin + 60):
        content[at] ^= 0x5A
    path.write_bytes(content)


def audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def unknown_codec(path):
    """The pictures are sound, but their codec's name is nobody's."""
    content = make_video(path).read_bytes()
    path.write_bytes(content.replace(b"avc1", b"xyz9"))


def no_frames(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        container.start_encoding()
        container.mux(stream.encode())


DAMAGED = {
    "end missing": (lambda path: cut(path, 0.6, movflags="faststart"), "cut short", "in part"),
    "index missing": (lambda path: cut(path, 0.6), "the file cannot be read", "lost"),
    "garbled": (garble, "pictures", "in part"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty", "lost"),
    "text": (lambda path: path.write_text("hello"), "the file cannot be read", "lost"),
    "audio": (audio, "the file has no video", "lost"),
    "unknown codec": (unknown_codec, "a codec that is unknown here", "lost"),
    "no frames": (no_frames, "", "lost"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_and_what_is_sound_is_kept(tmp_path, name):
    make, reason, kind = DAMAGED[name]
    make(tmp_path / "bad.mp4")
    clips, outcome = decode(tmp_path / "bad.mp4")
    assert outcome.kind == kind
    assert outcome.reasons
    assert reason in "; ".join(outcome.reasons)
    for clip in clips:  # every picture is still at its own time: nothing is glued together
        shown = clip.frames.mean(axis=(1, 2, 3))
        expected = [level(clip.start + k / 10) for k in range(len(clip))]
        np.testing.assert_allclose(shown, expected, atol=1.4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.mp4"
    return make_video(path, seconds=3.0, movflags="faststart").read_bytes()


def test_a_file_cut_between_its_last_pictures_is_cut_short(sound, tmp_path):
    """Nothing of what is left is damaged, and less than half a second is missing."""
    path = tmp_path / "a.mp4"
    path.write_bytes(sound)
    with av.open(str(path)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    for lost in range(1, 10):
        path.write_bytes(sound[: ends[-1 - lost]])
        _, outcome = decode(path)
        assert outcome.reasons == [
            f"it holds {90 - lost} of the 90 pictures it lists: the file is cut short"
        ]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_bytes_of_the_pictures_are_hurt_nothing_is_lost_in_silence(sound, data):
    """Cut anywhere or with any bytes changed: fewer pictures always come with a reason."""
    content = bytearray(sound)
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1), "at") :]
    else:
        begin = content.index(b"mdat") + 4
        for _ in range(data.draw(st.integers(1, 20), "hurt")):
            at = data.draw(st.integers(begin, len(content) - 1))
            content[at] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        path.write_bytes(content)
        clips, outcome = decode(path)
    if sum(map(len, clips)) != 30:
        assert outcome.reasons
        assert outcome.kind == ("in part" if clips else "lost")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=30),
    st.sampled_from([0.5, 3.0, 10.0, 29.97, 60.0]),
    st.floats(0.01, 0.5),
)
def test_at_each_moment_of_the_grid_the_picture_shown_then_is_taken(steps, fps, duration):
    class Scaler:
        def square(self, frame):
            return frame

    times = np.cumsum([0, *steps]) / 600
    grid = _Grid(fps, Scaler())
    taken = [each for index, time in enumerate(times) for each in grid.show(time, index)]
    taken += grid.last(duration)
    moments = np.arange(10_000) / fps
    moments = moments[moments < times[-1] + duration - EPSILON]
    shown = [int((times <= moment + EPSILON).sum()) - 1 for moment in moments]
    assert [picture for _, picture in taken] == shown
    np.testing.assert_allclose([time for time, _ in taken], moments)
