import torch

from sdiwm_model.mobilenet import InvertedResidual, SqueezeExcite


def test_a_residual_block_starts_as_no_change_and_learns():
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, 4, kernel=5)
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.project.weight.grad.abs().sum() > 0


def test_a_block_of_stride_two_halves_the_map():
    assert InvertedResidual(8, 12, 4, stride=2)(torch.randn(2, 8, 6, 6)).shape == (2, 12, 3, 3)


def test_squeeze_and_excite_scales_whole_channels_by_zero_to_one():
    torch.manual_seed(0)
    x = torch.rand(2, 8, 5, 5) + 0.1
    scale = SqueezeExcite(8)(x) / x
    assert torch.allclose(scale, scale[..., :1, :1].expand_as(scale), atol=1e-6)
    assert scale.min() >= 0 and scale.max() <= 1 and scale.std() > 0.001
