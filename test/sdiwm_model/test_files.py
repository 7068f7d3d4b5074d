"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path, check_writable, read_json_object, sha256_of_file


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "film.mp4"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".mp4"
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("the disk is full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_could_not_be_written_is_refused_before_the_work(tmp_path):
    check_writable("--json", tmp_path / "deep" / "x.json")
    assert list((tmp_path / "deep").iterdir()) == []
    with pytest.raises(SdiwmError, match="--json .* is a folder"):
        check_writable("--json", tmp_path)
    with pytest.raises(SdiwmError, match="--json /proc/x.json: nothing can be written there"):
        check_writable("--json", Path("/proc/x.json"))  # no permission bit says so, to root


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is missing; fetch it"),
        (b"{", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[1]", "does not hold a JSON object; fetch it"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_damaged_json_is_named_with_the_remedy(tmp_path, content, sentence):
    path = tmp_path / "model.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SdiwmError, match="model.json") as error:
        read_json_object(path, "fetch it")
    assert sentence in str(error.value)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(b"")
    known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_of_file(path) == known
