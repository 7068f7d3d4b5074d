import numpy as np
import pytest

from sdiwm_model.compression.error_feedback import round_with_feedback


@pytest.fixture
def correlated():
    """Inputs (N, K) that fill 5 of their 24 dimensions, and weights (M, K), both of int8 size."""
    rng = np.random.default_rng(0)
    inputs = 30 + 20 * rng.normal(size=(2000, 5)) @ rng.normal(size=(5, 24))
    return inputs, rng.uniform(-100, 100, (16, 24))


def test_sums_err_less_than_by_rounding_each_weight(correlated):
    inputs, weight = correlated
    rounded, bias = round_with_feedback(weight, inputs)
    error = np.abs(inputs @ (weight - rounded).T - bias).mean()
    nearest = inputs @ (weight - np.rint(weight)).T
    assert error < 0.25 * np.abs(nearest - nearest.mean(axis=0)).mean()


def test_the_bias_takes_the_mean_error(correlated):
    inputs, weight = correlated
    rounded, bias = round_with_feedback(weight, inputs)
    np.testing.assert_allclose(inputs.mean(axis=0) @ (weight - rounded).T, bias)


def test_independent_inputs_leave_nothing_to_make_up_for():
    weight = np.random.default_rng(1).uniform(-100, 100, (4, 3))
    inputs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    rounded, bias = round_with_feedback(weight, inputs)
    np.testing.assert_array_equal(rounded, np.rint(weight))
    np.testing.assert_allclose(bias, 0, atol=1e-12)


def test_weights_stay_within_127_and_others_make_up_for_what_is_cut_off():
    inputs = np.outer(np.linspace(-50, 50, 101), [1.0, 1.0])
    rounded, _ = round_with_feedback(np.array([[200.0, 10.0]]), inputs)
    assert rounded.dtype == np.int8
    assert np.abs(rounded).max() == 127
    assert rounded.sum() == pytest.approx(210, abs=3)


def test_inputs_that_never_vary_are_rounded_all_the_same():
    rounded, bias = round_with_feedback(np.array([[1.4, -2.6]]), np.full((10, 2), 7.0))
    np.testing.assert_array_equal(rounded, [[1, -3]])
    np.testing.assert_allclose(bias, [7 * (0.4 + 0.4)])
