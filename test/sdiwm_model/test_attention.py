import pytest
import torch

from sdiwm_model.attention import Block, SelfAttention


def test_attention_is_the_formula_it_cites():
    torch.manual_seed(0)
    layer = SelfAttention(8, 1, causal=False)
    x = torch.randn(2, 5, 8)
    q, k, v = layer.read(x).chunk(3, dim=-1)
    expected = layer.write(torch.softmax(q @ k.transpose(1, 2) / 8**0.5, dim=-1) @ v)
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize(("causal", "touched"), [(True, [2, 3, 4]), (False, [0, 1, 2, 3, 4])])
def test_a_causal_block_lets_no_token_see_a_later_one(causal, touched):
    torch.manual_seed(0)
    block = Block(8, 2, causal)
    x = torch.randn(1, 5, 8)
    changed = x.clone()
    changed[0, 2] += torch.randn(8)
    moved = (block(x) != block(changed)).any(dim=-1)[0]
    assert moved.nonzero().flatten().tolist() == touched
