"""The bench of data measures what it says, in processes of its own, and leaves nothing behind."""

import json
import os
import time

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.commands import bench_data
from sdiwm_model.data import stream_speed
from sdiwm_model.data.importers.video_settings import VideoSettings
from sdiwm_model.data.shards import ShardReader, read_manifest
from sdiwm_model.data.stream_local import Rank
from sdiwm_model.data.stream_samples import make_clips
from sdiwm_model.data.stream_speed import Trial, in_processes, measure_ingest
from sdiwm_model.errors import SdiwmError


def test_every_key_is_measured_and_the_disk_is_left_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_data, "VIDEO_SECONDS", 0.5)
    monkeypatch.setattr(bench_data, "DEMANDS", (0.5, 1))
    monkeypatch.setattr(bench_data, "SETTLE_SECONDS", 0.1)
    work, report = tmp_path / "work", tmp_path / "data.json"
    work.mkdir()
    command = ["bench", "data", "--folder", str(work), "--json", str(report), "--side", "16"]
    command += ["--clips", "40", "--videos", "10", "--seconds", "0.2", "--loaders", "local"]
    assert cli.main(command) == 0
    assert list(work.iterdir()) == []
    assert report.with_suffix(".png").stat().st_size > 0
    results = json.loads(report.read_text())["results"]
    ingest, local = results["ingest"], results["local"]
    for heat in ("warm", "cold"):
        for key in ("decode_fps", "write_mb_s", "rss_peak_mb"):
            assert ingest[heat][key] > 0
        for key in ("read_fps", "headroom", "first_batch_s", "rss_peak_mb"):
            assert local[heat][key] > 0
        assert 0 <= local[heat]["wait_fraction"] <= 1
    assert ingest["decode_fps"] == ingest["warm"]["decode_fps"]
    assert ingest["subsampled"]["kept_fps"] < 0.3 * ingest["subsampled"]["decode_fps"]
    assert local["wait_fraction"] == local["warm"]["wait_fraction"]
    assert [point["demand_fps"] for point in local["wait_curve"]] == [500.0, 1000.0]
    assert local["wait_curve"][1]["wait_fraction"] == local["wait_fraction"]
    assert 0.5 < local["memory"]["ratio"] < 1.5
    assert "local cold" in capsys.readouterr().out


class SlowLoader:
    """A loader that takes 20 ms for a batch of 4 frames."""

    clips = 8

    def __iter__(self):
        while True:
            time.sleep(0.02)
            yield None

    def close(self):
        pass


class Alone:
    """A barrier of one."""

    def wait(self):
        pass


def test_waits_are_the_share_of_the_time_that_the_loader_is_late(monkeypatch):
    monkeypatch.setattr(stream_speed, "open_loader", lambda trial, rank: SlowLoader())
    trial = Trial("local", None, frames=4, batch=1, demand_fps=4 / 0.06, seconds=0.8, settle=0.2)
    figures = stream_speed._rank(trial, Rank(), Alone())
    assert figures["wait_fraction"] == pytest.approx(0.25, abs=0.1)  # 20 ms of 60 + 20
    as_fast_as_it_goes = stream_speed._rank(Trial("local", None, 4, 1), Rank(), Alone())
    assert as_fast_as_it_goes["wait_fraction"] > 0.9
    assert as_fast_as_it_goes["read_fps"] <= 4 / 0.02


def test_a_measuring_process_that_fails_or_dies_says_so(tmp_path):
    with pytest.raises(SdiwmError, match="a measuring process failed: .* holds no video"):
        measure_ingest("local", tmp_path, VideoSettings(), tmp_path / "out", 1)
    with pytest.raises(SdiwmError, match="a measuring process died, status 3"):
        in_processes(os._exit, [(3,)])


def test_the_clips_made_for_measuring_differ_from_each_other(tmp_path):
    make_clips(tmp_path / "clips", clips=3, frames=2, side=8, seed=1)
    episodes = list(ShardReader(tmp_path / "clips").episodes())
    assert read_manifest(tmp_path / "clips")["frames"] == 6
    assert not np.array_equal(episodes[0].frames, episodes[1].frames)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--clips", "9"], "--clips and --videos must be 10 or more"),
        (["--demand-fps", "0"], "--demand-fps and --seconds above 0"),
        (["--folder", "nowhere"], "--folder nowhere is no folder"),
        (["--clips", "100000000"], "GB left; name another --folder"),
    ],
)
def test_nonsense_is_refused_before_anything_is_made(arguments, sentence, capsys):
    assert cli.main(["bench", "data", *arguments]) == 2
    assert sentence in capsys.readouterr().err
