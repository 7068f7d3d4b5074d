"""Formats are found by looking at a source, plugins among them; a broken one hides no other."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from sdiwm_model import plugins
from sdiwm_model.data.importers import registry
from sdiwm_model.data.importers.column_settings import ColumnSettings, Roles, read_column_settings
from sdiwm_model.data.importers.columns import Column, ColumnRecording, Table
from sdiwm_model.data.importers.protocols import Format
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file

BUILT_IN = {"lerobot-v2.1", "lerobot-v3", "minari", "rosbag", "swm-hdf5", "video"}


class Grey:
    """A data set of another program: a file that holds how many grey pictures there are."""

    dt = 0.1
    columns = {"view": Column("uint8", (4, 4, 3)), "push": Column("float64", ())}
    roles = Roles(action=("push",))
    ours = None

    def __init__(self, path):
        self._steps = int(path.read_text())

    def __len__(self):
        return 1

    def instructions(self):
        return []

    def read(self, index, names):
        columns = {
            "view": np.full((self._steps, 4, 4, 3), 9, np.uint8),
            "push": np.zeros(self._steps),
        }
        return Table({name: columns[name] for name in names})


class GreyFormat:
    description = "a .grey file"

    def detects(self, source):
        return source.suffix == ".grey"

    def open(self, source, options):
        return ColumnRecording(source, Grey(source), ColumnSettings())

    def write(self, reader, out, options):
        out.write_text(str(reader.lengths[0]))
        return ["everything but the length"]


FORMAT = GreyFormat()
NO_FORMAT = object()


@pytest.fixture
def register(monkeypatch):
    """`register(name=object)`: what another package's entry points would say beside ours."""
    installed = plugins.entry_points

    def add(**objects):
        extra = [
            EntryPoint(name.replace("_", "-"), f"{__name__}:{value}", registry.GROUP)
            for name, value in objects.items()
        ]
        monkeypatch.setattr(
            plugins, "entry_points", lambda group: [*installed(group=group), *extra]
        )
        registry.formats.cache_clear()

    yield add
    monkeypatch.undo()
    registry.formats.cache_clear()


def test_the_formats_of_the_readme_are_there():
    assert set(registry.formats()) >= BUILT_IN
    assert all(isinstance(each, Format) for each in registry.formats().values())


def test_a_plugin_reads_and_writes_as_our_own_do(register, sdiwm, tmp_path):
    register(grey="FORMAT")
    (tmp_path / "a.grey").write_text("5")
    out, back = tmp_path / "out", tmp_path / "b.grey"
    assert sdiwm("data", "import", tmp_path / "a.grey", "--out", out) == (0, "")
    (episode,) = load_episodes(out)
    assert (len(episode), episode.action.shape) == (5, (5, 1))
    status, said = sdiwm("data", "export", out, "--format", "grey", "--out", back)
    assert (status, back.read_text()) == (0, "5")
    assert f"not in {back}: everything but the length" in said


def test_a_plugin_that_is_broken_is_named_and_hides_no_other(register, capsys):
    register(broken="MISSING", wrong="NO_FORMAT")
    assert set(registry.formats()) >= BUILT_IN
    said = capsys.readouterr().err
    assert "format broken cannot be used" in said
    assert "format wrong cannot be used: it is no Format" in said


def test_of_two_formats_that_know_a_source_one_has_to_be_named(register, tmp_path):
    register(grey="FORMAT", gray="FORMAT")
    (tmp_path / "a.grey").write_text("5")
    with pytest.raises(SdiwmError, match=r"a\.grey may be gray or grey: say which with --format"):
        registry.find_format(tmp_path / "a.grey")
    assert registry.find_format(tmp_path / "a.grey", "gray") is FORMAT
    with pytest.raises(SdiwmError, match="there is no format 'green'; there are: "):
        registry.find_format(tmp_path / "a.grey", "green")


def test_what_exists_is_never_written_over(folder, sdiwm, tmp_path):
    out = tmp_path / "out.h5"
    out.write_text("mine")
    status, said = sdiwm("data", "export", folder(), "--format", "swm-hdf5", "--out", out)
    assert (status, out.read_text()) == (2, "mine")
    assert "out.h5 exists; an export is never written over" in said


def test_a_source_that_is_named_twice_is_refused(register, sdiwm, tmp_path):
    register(grey="FORMAT")
    source, out = tmp_path / "a.grey", tmp_path / "out"
    source.write_text("5")
    status, said = sdiwm("data", "import", source, source, "--out", out)
    assert (status, out.exists()) == (2, False)
    assert "a.grey is named twice" in said


def test_sources_of_other_shapes_or_facts_are_refused_before_any_work(register, sdiwm, tmp_path):
    register(grey="FORMAT")
    for name in ("a", "b"):
        (tmp_path / f"{name}.grey").write_text("5")
    out = tmp_path / "out"
    sources = (tmp_path / "a.grey", tmp_path / "b.grey")
    status, said = sdiwm("data", "import", *sources, "--out", out)
    assert (status, out.exists()) == (2, False)
    assert "b.grey has another 'name' than" in said


def test_what_is_only_read_says_so(folder, sdiwm, tmp_path):
    shards = folder()
    for name in ("rosbag", "video"):
        status, said = sdiwm("data", "export", shards, "--format", name, "--out", tmp_path / "out")
        assert status == 2
        assert "lerobot-v3" in said


def test_the_shipped_settings_can_be_read():
    settings = read_column_settings(share_file("config/import/columns.yaml"))
    assert settings.task["name"] == "my_task"
    text = share_file("config/import/columns.yaml").read_text()
    for field in (*vars(Roles()), "size", "best_reward", "goal_words"):
        assert f"\n# {field}:" in text
