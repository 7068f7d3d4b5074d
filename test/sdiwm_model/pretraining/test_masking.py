"""What is hidden of a clip: so many places, in blocks, by the generator alone."""

import pytest
import torch

from sdiwm_model.pretraining.masking import split_places


def drawn(seed, clips=64, edge=14, share=0.75):
    return split_places(clips, edge, share, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("edge", [1, 4, 14])
def test_every_clip_hides_the_same_count_and_no_place_is_both_seen_and_hidden(edge, share):
    seen, hidden = drawn(0, 5, edge, share)
    assert hidden.shape[1] == min(round(share * edge**2), edge**2 - 1)
    every = torch.cat([seen, hidden], dim=1).sort(dim=1).values
    assert torch.equal(every, torch.arange(edge**2).expand(5, -1))


def test_what_is_hidden_lies_in_blocks():
    _, hidden = drawn(0, share=0.5)
    mask = torch.zeros(64, 14 * 14).scatter(1, hidden, 1.0).view(64, 14, 14)
    alike = (mask[:, 1:] == mask[:, :-1]).float().mean()
    assert alike > 0.75  # neighbours in a mask by chance are alike half of the time


def test_clips_differ_and_a_seed_repeats_its_masks():
    seen, hidden = drawn(1)
    again = drawn(1)
    assert torch.equal(seen, again[0])
    assert torch.equal(hidden, again[1])
    assert not torch.equal(hidden, drawn(2)[1])
    assert not torch.equal(hidden[0], hidden[1])
