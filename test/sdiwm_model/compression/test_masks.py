"""Masks zero small weights and remove nothing."""

import pytest
import torch

from sdiwm_model.compression.masks import mask_smallest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import find_size
from sdiwm_model.world_model import WorldModel


@pytest.mark.parametrize("name", ["miniature", "miniature_teacher"])
def test_the_smallest_weights_of_every_layer_become_zero(name):
    torch.manual_seed(0)
    model = WorldModel(find_size(name))
    masked = mask_smallest(model, 0.75)
    assert masked.size == model.size
    for (name, before), after in zip(model.named_parameters(), masked.parameters(), strict=True):
        if before.ndim < 2 or name.startswith("language."):
            assert torch.equal(before, after), name
            continue
        zero = after == 0
        assert zero.sum() == round(0.75 * before.numel()), name
        assert torch.equal(after[~zero], before[~zero]), name
        assert before[zero].abs().max() <= before[~zero].abs().min(), name


def test_shares_beyond_all_are_refused():
    with pytest.raises(SdiwmError, match="use 0 to 1"):
        mask_smallest(WorldModel(find_size("miniature")), 1.5)
