"""`sdiwm export` replaces an older bundle and nothing else."""

import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import export_bundle


def test_a_folder_that_holds_anything_else_is_left_alone(random_bundle, tmp_path):
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    with pytest.raises(SdiwmError, match=r"holds thesis\.tex, which is no part of a bundle"):
        export_bundle(random_bundle, tmp_path, seed=0)
    with pytest.raises(SdiwmError, match="is a file; name a folder"):
        export_bundle(random_bundle, thesis, seed=0)
    assert thesis.read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [thesis]
