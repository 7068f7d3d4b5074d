"""Videos become clips on a grid of time; what is damaged is named, counted, and costs no more."""

import os
import struct
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model import cli
from sdiwm_model.data.importers.video_decode import (
    EPSILON,
    Outcome,
    VideoSource,
    _Grid,
    clips_of,
)
from sdiwm_model.data.importers.video_ingest import ThreadDecoder, ingest
from sdiwm_model.data.importers.video_settings import VideoSettings, read_video_settings
from sdiwm_model.data.importers.video_sources import find_sources
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.manifest import JOURNAL
from sdiwm_model.data.shards import read_manifest
from sdiwm_model.data.verify import verify
from sdiwm_model.errors import SdiwmError

SMALL = VideoSettings(size=16, fps=10.0, clip=8)
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


def cut(path, share, **options):
    content = make_video(path, seconds=6.0, **options).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


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


def fill(folder):
    for index in range(5):
        make_video(folder / f"{index}.mp4", brightness=40 * index)
    cut(folder / "damaged.mp4", 0.6)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "video.yaml"
    path.write_text("size: 16\nfps: 10\nclip: 8\n")
    return path


def shards(out):
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.parquet"))}


def test_import_writes_clips_in_order_and_says_what_is_missing(folder, config, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        cli.main(["data", "import", str(folder), "--config", str(config), "--out", str(out)]) == 0
    )
    assert "left out: damaged.mp4: the file cannot be read" in capsys.readouterr().err
    manifest = verify(out)
    assert manifest["sources"] == {"lost": 1, "whole": 5}
    assert (manifest["episodes"], manifest["frames"]) == (15, 100)
    episodes = load_episodes(out)
    assert [each.seed for each in episodes] == list(range(15))
    assert [each.source for each in episodes[::3]] == [f"{index}.mp4" for index in range(5)]
    for index, each in enumerate(episodes[::3]):
        assert abs(each.frames.mean() - 40 * index) < 4


def test_the_number_of_threads_changes_no_byte(folder, tmp_path):
    for threads in (1, 3):
        ingest([folder], SMALL, tmp_path / str(threads), "test", ThreadDecoder(threads))
    assert shards(tmp_path / "1") == shards(tmp_path / "3")


def test_killed_in_the_middle_the_same_call_ends_with_the_same_bytes(folder, tmp_path):
    size = 9_000  # bytes of a shard: one clip of 8 frames and no second one
    ingest([folder], SMALL, tmp_path / "whole", "test", bytes_per_shard=size)
    script = f"""
import os, sys
from pathlib import Path
from sdiwm_model.data.importers import video_ingest as v
from sdiwm_model.data.importers.video_settings import VideoSettings
write = v._write
def killing(writer, found, place):
    if writer.episodes == 7:
        os.kill(os.getpid(), 9)
    write(writer, found, place)
v._write = killing
v.ingest([Path({str(folder)!r})], VideoSettings(size=16, fps=10.0, clip=8),
         Path({str(tmp_path / "killed")!r}), "test", bytes_per_shard={size})
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    kept = shards(tmp_path / "killed").keys() - {".shard-00006.part.parquet"}
    assert len(kept) == 6
    assert (tmp_path / "killed" / JOURNAL).exists()
    decoded = []

    def counting(sources, settings):
        decoded.extend(source.name for source in sources)
        return ThreadDecoder(1)(sources, settings)

    ingest([folder], SMALL, tmp_path / "killed", "test", counting, bytes_per_shard=size)
    assert decoded[0] == "1.mp4"
    assert len(decoded) == 5
    assert shards(tmp_path / "killed") == shards(tmp_path / "whole")
    assert read_manifest(tmp_path / "killed") == read_manifest(tmp_path / "whole")


def test_files_that_changed_in_between_are_refused(tmp_path):
    videos = fill(tmp_path / "videos")

    def stopping(sources, settings):
        yield from list(ThreadDecoder(1)(sources, settings))[:5]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        ingest([videos], SMALL, tmp_path / "out", "test", stopping, bytes_per_shard=9_000)
    make_video(videos / "9.mp4")
    with pytest.raises(SdiwmError, match="differs from this one in its sources"):
        ingest([videos], SMALL, tmp_path / "out", "test", bytes_per_shard=9_000)


def test_a_decoder_that_fails_ends_the_import_and_leaves_no_thread_waiting(folder, tmp_path):
    import threading

    before = threading.active_count()

    def failing(sources, settings):
        for index, event in enumerate(ThreadDecoder(2)(sources, settings)):
            if index == 3:
                raise RuntimeError("stopped")
            yield event

    with pytest.raises(RuntimeError):
        ingest([folder], SMALL, tmp_path / "out", "test", failing)
    assert threading.active_count() == before
    assert list((tmp_path / "out").iterdir()) == []


def test_no_clip_at_all_is_an_error_not_an_empty_folder(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"")
    with pytest.raises(SdiwmError, match="no video gave a clip: a.mp4: the file is empty"):
        ingest([videos], SMALL, tmp_path / "out", "test")
    with pytest.raises(SdiwmError, match="holds no video"):
        ingest([tmp_path / "out"], SMALL, tmp_path / "other", "test")


ROWS = """label,youtube_id,time_start,time_end,split
pouring tea,aaaaaaaaaaa,0,10,train
pouring tea,bbbbbbbbbbb,12,22,val
juggling,ccccccccccc,5,15,train
juggling,,5,15,train
juggling,ddddddddddd,five,15,train
pouring tea,aaaaaaaaaaa,0,10,train
"""


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory):
    root = tmp_path_factory.mktemp("kinetics")
    (root / "train.csv").write_text(ROWS)
    make_video(root / "train/pouring_tea/aaaaaaaaaaa_000000_000010.mp4", seconds=0.5)
    make_video(root / "val/pouring_tea/bbbbbbbbbbb_000012_000022.mp4", seconds=0.5)
    make_video(root / "train/flying_a_kite/eeeeeeeeeee_000001_000011.mp4", seconds=0.5)
    return root


def test_kinetics_labels_come_from_the_list_and_every_gap_is_named(kinetics, tmp_path):
    manifest = ingest([kinetics], SMALL, tmp_path / "out", "test")
    assert [each.instruction for each in load_episodes(tmp_path / "out")] == [
        "flying a kite",
        "pouring tea",
        "pouring tea",
    ]
    assert manifest["failures"] == [
        "train.csv line 4: no file ccccccccccc_000005_000015.* is there",
        "train.csv line 5: the row has no youtube_id",
        "train.csv line 6: time_start and time_end are no numbers",
        "train.csv line 7: train/pouring_tea/aaaaaaaaaaa_000000_000010.mp4 is listed already, by "
        "train.csv line 2",
    ]
    assert manifest["notes"] == [
        "train/flying_a_kite/eeeeeeeeeee_000001_000011.mp4: no list has a row for it: its folder "
        "gave the label"
    ]
    assert manifest["sources"] == {"lost": 4, "whole": 3}


def test_one_split_takes_its_rows_alone(kinetics):
    found = find_sources(kinetics, VideoSettings(split="val"))
    names = [each.name for each in found if isinstance(each, VideoSource)]
    assert names == ["val/pouring_tea/bbbbbbbbbbb_000012_000022.mp4"]


def test_a_list_without_a_column_is_refused(tmp_path):
    make_video(tmp_path / "a.mp4", seconds=0.2)
    (tmp_path / "list.csv").write_text("label,youtube_id\njuggling,a\n")
    with pytest.raises(SdiwmError, match=r"list.csv lacks the column 'time_start'"):
        find_sources(tmp_path, SMALL)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sizes: 3", "unknown field 'sizes'"),
        ("size: 3", "size is 3: use 8 to 2048"),
        ("size: 3.5", "size is 3.5: give a whole number"),
        ("fps: fast", "fps is 'fast': give a number"),
        ("encoding: png", "encoding is 'png': use raw or jpeg"),
        ("[1]", "holds no fields"),
        (": :", "no readable YAML"),
    ],
)
def test_wrong_settings_are_refused_by_the_name_of_the_field(tmp_path, text, sentence):
    path = tmp_path / "video.yaml"
    path.write_text(text)
    with pytest.raises(SdiwmError, match=sentence):
        read_video_settings(path)


def test_the_shipped_settings_are_the_defaults():
    from sdiwm_model.share import share_file

    assert read_video_settings(Path(share_file("config/import/video.yaml"))) == VideoSettings()


def test_ray_writes_the_bytes_that_threads_write(folder, tmp_path):
    pytest.importorskip("ray")
    from sdiwm_model.data.importers.video_ray import decode_on_ray

    ingest([folder], SMALL, tmp_path / "threads", "test", bytes_per_shard=30_000)
    ingest([folder], SMALL, tmp_path / "ray", "test", decode_on_ray, bytes_per_shard=30_000)
    assert len(shards(tmp_path / "ray")) > 2
    assert shards(tmp_path / "ray") == shards(tmp_path / "threads")
    assert read_manifest(tmp_path / "ray") == read_manifest(tmp_path / "threads")


def test_what_video_cannot_do_is_refused_in_words(folder, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert cli.main(["data", "import", str(tmp_path), "--format", "rosbag", "--ray", *out]) == 2
    assert "--ray is for video" in capsys.readouterr().err
    assert cli.main(["data", "import", str(folder), *out]) == 0
    exported = ["--format", "video", "--out", str(tmp_path / "film")]
    assert cli.main(["data", "export", str(tmp_path / "out"), *exported]) == 2
    assert "not written as video alone" in capsys.readouterr().err
    assert not (tmp_path / "film").exists()
