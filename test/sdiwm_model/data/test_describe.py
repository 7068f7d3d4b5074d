"""The histograms count what is there; the sheet shows the episodes' own pictures."""

import json

import numpy as np
import pytest
from PIL import Image

from sdiwm_model import cli
from sdiwm_model.data.describe import CAPTION, CELL, COLUMNS, look, write_contact_sheet
from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.shards import ShardWriter
from sdiwm_model.errors import SdiwmError

SPEC = EpisodeSpec(image=(8, 8, 3), proprio=1, action=2, goals=1, state=0, task={"name": "t"})


def episode(length, brightness, action):
    return Episode(
        np.full((length, 8, 8, 3), brightness, np.uint8),
        np.full((length, 1), 2.0, np.float32),
        np.tile(np.float32(action), (length, 1)),
        np.full((length, 1), 0.5, np.float32),
        np.zeros((length, 0), np.float32),
        f"brightness {brightness}", 0, "random", 0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described") / "data"
    with ShardWriter(folder, SPEC, {}) as writer:
        writer.write(episode(3, 250, (-1.0, 0.9)))
        writer.write(episode(27, 5, (-1.0, 0.9)))
        writer.write(episode(3, 250, (-1.0, 0.9)))
    return folder


def test_histograms_count_every_step_of_every_quantity(folder):
    seen = look(folder)
    by_name = {each.name: each for each in seen.histograms}
    assert by_name["length"].counts == [2] + 22 * [0] + [1]
    assert (by_name["length"].low, by_name["length"].high) == (3, 27)
    assert by_name["brightness"].counts == [27] + 22 * [0] + [6]
    assert by_name["action 0"].counts == [30] + 23 * [0]
    assert by_name["action 1"].counts[22] == 30
    assert sum(by_name["proprio 0"].counts) == sum(by_name["goal_cost"].counts) == 33
    assert seen.instructions == {"brightness 250": 2, "brightness 5": 1}
    assert by_name["length"].line() == "length        |█                      ▄| 3 to 27 steps"


def test_the_sheet_shows_each_episode_in_its_row(folder, tmp_path):
    write_contact_sheet(folder, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == COLUMNS * CELL
    for row, brightness in enumerate((250, 5, 250)):
        top = row * (CELL + CAPTION) + CAPTION
        np.testing.assert_array_equal(sheet[top : top + CELL, : 3 * CELL], brightness)
        assert (sheet[top - CAPTION : top] < 128).any()  # the caption
    below = sheet[3 * (CELL + CAPTION) :]
    assert (below == (70, 130, 180)).all(axis=-1).any()  # the bars


def test_info_prints_histograms_and_draws_the_sheet(folder, tmp_path, capsys):
    sheet = tmp_path / "new" / "sheet.png"
    arguments = ["data", "info", str(folder), "--histograms", "--contact-sheet", str(sheet)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "3 to 27 steps" in printed
    assert "2 'brightness 250'" in printed
    assert sheet.exists()
    assert cli.main(["data", "info", str(folder), "--histograms", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["look"]["histograms"][0]["name"] == "length"


def test_a_damaged_episode_is_named_even_when_only_a_few_are_looked_at(folder, tmp_path):
    copy = tmp_path / "data"
    copy.mkdir()
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".parquet":
            at = content.index(bytes([5]) * 100)
            content = content[:at] + b"\x07" + content[at + 1 :]
        (copy / path.name).write_bytes(content)
    with pytest.raises(SdiwmError, match="shard-00000.parquet cannot be read"):
        look(copy)


def test_what_cannot_be_drawn_is_refused_in_words(folder, tmp_path, capsys):
    with pytest.raises(SdiwmError, match=r"let its name end in .png"):
        write_contact_sheet(folder, tmp_path / "sheet.jpg")
    with ShardWriter(tmp_path / "empty", SPEC, {}):
        pass
    with pytest.raises(SdiwmError, match="holds no episode"):
        look(tmp_path / "empty")
    two = ["data", "info", str(folder), str(folder), "--contact-sheet", str(tmp_path / "a.png")]
    assert cli.main(two) == 2
    assert "name a single one" in capsys.readouterr().err
