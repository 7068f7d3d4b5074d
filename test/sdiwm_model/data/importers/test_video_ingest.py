"""Folders of videos become shards; every gap is named, and what was stopped goes on."""

import subprocess
import sys
from pathlib import Path

import pytest
from videos import cut, make_video

from sdiwm_model import cli
from sdiwm_model.data.importers.video_decode import VideoSource
from sdiwm_model.data.importers.video_ingest import ThreadDecoder, ingest
from sdiwm_model.data.importers.video_settings import VideoSettings, read_video_settings
from sdiwm_model.data.importers.video_sources import find_sources
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.manifest import JOURNAL
from sdiwm_model.data.shards import read_manifest
from sdiwm_model.data.verify import verify
from sdiwm_model.errors import SdiwmError

SMALL = VideoSettings(size=16, fps=10.0, clip=8)


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
