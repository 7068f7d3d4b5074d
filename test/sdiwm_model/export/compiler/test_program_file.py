"""A quantised network is the same after it was written and read; a damaged file is refused."""

import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.codegen import generate
from sdiwm_model.export.compiler.layout import layout
from sdiwm_model.export.compiler.program_file import load_program, save_program

from .test_every_operator import NETWORKS


@pytest.fixture
def stored(network, compiled, tmp_path):
    """stored(name) -> the program of a network, and its file."""

    def make(name):
        made = network(0)
        _, program = compiled(made.save(tmp_path / "n.onnx", *NETWORKS[name](made)), examples=2)
        save_program(program, tmp_path / "n.safetensors")
        return program, tmp_path / "n.safetensors"

    return make


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_c_plus_plus_is_written(name, stored):
    program, path = stored(name)
    again = load_program(path, "?")
    assert generate(layout(again), "n") == generate(layout(program), "n")


def test_bad_files_are_refused_in_words(stored, tmp_path):
    _, path = stored("vector")
    whole = path.read_bytes()
    for content, said in (
        (whole[: len(whole) // 2], "is truncated or damaged"),
        (
            whole.replace(b'"format_version":"1"', b'"format_version":"9"'),
            "newer release: format_version is 9, this release",
        ),
        (whole.replace(b"Convolution", b"Konvolution"), "holds no whole network"),
        (whole.replace(b"multiplier", b"multiplied"), "holds no whole network"),
    ):
        assert content != whole
        path.write_bytes(content)
        with pytest.raises(SdiwmError, match=said) as error:
            load_program(path, "make it anew")
        assert str(error.value).endswith("make it anew")
    with pytest.raises(SdiwmError, match="is missing; make it anew"):
        load_program(tmp_path / "nothing", "make it anew")
