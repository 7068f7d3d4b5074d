"""Configuration files are found in a source checkout and where a package is installed."""

import pytest

import sdiwm_model
from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file

NAME = "config/training/default.yaml"


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    package = tmp_path / "lib" / "python3.11" / "site-packages" / "sdiwm_model"
    monkeypatch.setattr(sdiwm_model, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "interpreter"))
    return tmp_path


@pytest.mark.parametrize("where", [".", "interpreter"])
def test_an_installed_file_is_found_in_the_share_folder_of_its_prefix(prefix, where):
    installed = prefix / where / "share" / "sdiwm_ros" / NAME
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert share_file(NAME) == installed


def test_a_file_that_is_not_installed_is_refused_with_the_remedy(prefix):
    with pytest.raises(SdiwmError, match=r"default.yaml is not installed .*; reinstall with"):
        share_file(NAME)
