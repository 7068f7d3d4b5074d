"""What the generated engine cannot compute is refused before it is compiled."""

from dataclasses import replace

import numpy as np
import pytest

from sdiwm_model.compression.quantise import quantise_fusion
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.codegen import generate


def widened(q, name, width, weight):
    layer = replace(q.layers[name], weight=np.full((q.layers[name].weight.shape[0], width), weight))
    return replace(q, layers=q.layers | {name: layer})


def test_sums_that_overflow_are_refused(quantised):
    generate(widened(quantised, "fusion_1", 500, np.int8(127)))
    with pytest.raises(SdiwmError, match="Layer 'fusion_1', 520 wide, can overflow"):
        generate(widened(quantised, "fusion_1", 520, np.int8(127)))


def test_costs_that_overflow_over_the_longest_plan_are_refused(quantised):
    with pytest.raises(SdiwmError, match="cost of 64 steps can overflow.*of 1000 hidden units"):
        generate(widened(quantised, "cost_output", 1000, np.int8(127)))
    generate(widened(quantised, "cost_output", 1000, np.int8(127)), max_horizon=16)


def test_wide_fusion_layers_are_scaled_so_that_no_sum_overflows(float_weights):
    """All weights are as heavy: in the unit of the heaviest one, a sum would have 33 bits."""
    weights, width = dict(float_weights), 1024
    weights["fusion.0.weight"] = np.tile(weights["fusion.0.weight"], (width // 128, 1))
    weights["fusion.0.bias"] = np.zeros(width, np.float32)
    weights["fusion.1.weight"] = np.ones((64, width), np.float32)
    inputs = [np.ones((50, n), np.float32) * np.arange(50)[:, None] for n in (72, width, 64)]
    layers, _ = quantise_fusion(weights, inputs)
    wide = layers["fusion_1"]
    assert wide.weight.min() > 20
    products = 32767 * np.abs(wide.weight.astype(np.int64)).sum(axis=1)
    assert (products + np.abs(wide.bias) < 2**31).all()
