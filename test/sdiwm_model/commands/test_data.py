"""`sdiwm data` describes sound folders and names damaged files."""

import json

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.shards import ShardWriter


@pytest.fixture
def folder(tmp_path):
    spec = EpisodeSpec(image=(2, 2, 3), proprio=1, action=1, goals=2, state=1, task={"name": "t"})
    number = np.zeros((3, 1), np.float32)
    with ShardWriter(tmp_path / "data", spec, {"command": "sdiwm collect"}) as writer:
        frames, cost = np.zeros((3, 2, 2, 3), np.uint8), np.zeros((3, 2), np.float32)
        writer.write(Episode(frames, number, number, cost, number, "go", 1, "random", 5))
        writer.record_failure("seed 6: the simulation diverged")
    return tmp_path / "data"


def test_info_prints_counts_behaviours_and_provenance(folder, capsys):
    assert cli.main(["data", "info", str(folder)]) == 0
    printed = capsys.readouterr().out
    for expected in ("episodes   1", "frames     3", "random 1", "failures   1", "sdiwm collect"):
        assert expected in printed


def test_info_prints_the_manifest_as_json(folder, capsys):
    assert cli.main(["data", "info", "--json", str(folder)]) == 0
    assert json.loads(capsys.readouterr().out)["failures"] == ["seed 6: the simulation diverged"]


def test_verify_passes_a_sound_folder_and_names_a_damaged_file(folder, capsys):
    assert cli.main(["data", "verify", str(folder)]) == 0
    assert "sound; 1 episodes, 3 frames, 1 shards" in capsys.readouterr().out
    shard = folder / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert cli.main(["data", "verify", str(folder)]) == 2
    assert f"shard {shard} is damaged (its SHA-256 differs)" in capsys.readouterr().err
