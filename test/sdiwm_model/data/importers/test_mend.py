"""A recorder may be killed; what it has written can be saved."""

import numpy as np
import pytest

pytest.importorskip("rosbags")
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sdiwm_model import cli
from sdiwm_model.data.importers.rosbag import open_bag

STORE = get_typestore(Stores.ROS2_KILTED)
COUNT = 300


@pytest.fixture
def unfinished(tmp_path):
    """A bag whose writer was never closed: 300 messages of 16 KB, some still in its memory.

    Every second message is a little earlier than the one before, as where topics take turns.
    """
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.open()
    kind = "std_msgs/msg/Float32MultiArray"
    connection = writer.add_connection("/values", kind, typestore=STORE)
    layout = STORE.types["std_msgs/msg/MultiArrayLayout"]([], 0)
    for number in range(COUNT):
        message = STORE.types[kind](layout, np.full(4096, number, np.float32))
        writer.write(connection, number ^ 1, STORE.serialize_cdr(message, kind))
    writer.storage.bio.flush()
    return tmp_path / "bag"


def test_what_a_killed_recorder_has_written_is_saved(unfinished, tmp_path, capsys):
    assert cli.main(["data", "mend", str(unfinished), "--out", str(tmp_path / "saved")]) == 0
    with open_bag(tmp_path / "saved") as bag:
        values = [bag.deserialize(raw, c.msgtype).data[0] for c, _, raw in bag.messages()]
    assert sorted(values) == list(range(len(values)))
    assert len(values) > 0.7 * COUNT  # at most the newest megabyte is lost
    assert f"{len(values)} messages" in capsys.readouterr().out


def test_a_file_that_ends_within_a_record_is_saved_up_to_there(unfinished, tmp_path):
    path = unfinished / "bag.mcap"
    path.write_bytes(path.read_bytes()[:-1000])
    assert cli.main(["data", "mend", str(path), "--out", str(tmp_path / "saved")]) == 0
    with open_bag(tmp_path / "saved") as bag:
        assert sum(1 for _ in bag.messages()) > 100


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda bag: (bag / "bag.mcap").write_bytes(b"nothing"), "is no MCAP file"),
        (lambda bag: (bag / "bag.mcap").unlink(), "holds no single .mcap file"),
        (lambda bag: (bag / "bag.mcap").write_bytes((bag / "bag.mcap").read_bytes()[:60]),
         "no part of the bag is whole"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_saved_it_says_so(unfinished, tmp_path, capsys, damage, sentence):
    damage(unfinished)
    assert cli.main(["data", "mend", str(unfinished), "--out", str(tmp_path / "saved")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "saved").exists()
