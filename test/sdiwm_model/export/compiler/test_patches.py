"""The stage that runs patch by patch: chosen automatically, small, and no integer differs."""

import numpy as np
import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.layout import MOST_EXTRA_MACS, arrange, layout
from sdiwm_model.export.compiler.patches import possible_lengths, stage
from sdiwm_model.export.quiet import quiet_exporter
from sdiwm_model.high_resolution import HighResolutionEncoder
from sdiwm_model.keypoints import KeypointEncoder
from sdiwm_model.sizes import find_size

from .conftest import compile_network


def exported(module, edge, path):
    torch.manual_seed(0)
    picture = torch.zeros(1, edge, edge, 3, dtype=torch.uint8)
    with quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            module.eval(), (picture,), path, dynamo=True, verbose=False, opset_version=18,
            input_names=["image"], output_names=["features"], external_data=False,
        )  # fmt: skip
    return compile_network(path, examples=1)[1]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return exported(HighResolutionEncoder(), 224, tmp_path_factory.mktemp("e") / "large.onnx")


@pytest.fixture(scope="module")
def medium(tmp_path_factory):
    encoder = KeypointEncoder(find_size("student_96"))
    return exported(encoder, 96, tmp_path_factory.mktemp("e") / "medium.onnx")


@pytest.fixture(scope="module")
def chosen(large):
    return layout(large)


def test_224_pixels_need_a_fourteenth_of_the_memory(large, chosen, same_integers):
    once = sum(large.macs(operator) for operator in large.operators)
    assert chosen.peak * 14 <= arrange(large, None, overlap=False).peak
    assert chosen.peak * 10 <= arrange(large, None).peak
    assert 0 < chosen.extra_macs <= MOST_EXTRA_MACS * once
    assert same_integers(chosen, 1) == 1


def test_one_strip_does_nothing_twice(large):
    for length in possible_lengths(large)[::6]:
        assert arrange(large, stage(large, length)).extra_macs == 0


def test_more_memory_is_used_to_work_less(large):
    assert layout(large, ram=1 << 20).stage is None
    roomy = layout(large, ram=120_000)
    assert roomy.peak <= 120_000
    assert len(roomy.stage.spans) == 1


def test_too_little_memory_is_refused(medium):
    with pytest.raises(SdiwmError, match=r"needs \d+ bytes of memory at least, 10000 are allowed"):
        layout(medium, ram=10_000)


def test_96_pixels_patch_by_patch(medium, same_integers):
    whole = arrange(medium, None)
    for strips in (1, 2):
        patched = arrange(medium, stage(medium, 2, strips))
        early = [medium.inputs[0], medium.operators[0].output]
        assert 8 * sum(map(patched.bytes, early)) < sum(map(whole.bytes, early))
        assert patched.peak <= whole.peak  # the keypoints' maps are whole
        assert same_integers(patched, 1) == 1


def test_rows_in_memory_are_those_of_the_receptive_field(medium):
    chosen = stage(medium, 3)
    first, second, maps = medium.operators[:3]
    assert chosen.rows("image") == 3  # of the first convolution's window
    assert chosen.rows(first.output) == 3
    assert chosen.rows(second.output) == 1
    assert chosen.rows(maps.output) == 48  # a result: whole
    assert np.bincount(np.array(chosen.order) + 1).tolist() == [96, 48, 48, 48]
