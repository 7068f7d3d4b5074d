import pytest

from sdiwm_model.evaluation.curve import _spread_out
from sdiwm_model.evaluation.summary import figures_of, spread


def block(hri, success=None):
    return {
        "model_hash": f"hash {hri}",
        "hri": [0.99, hri],
        "valid": True,
        "skill_at_2": hri - 0.1,
        "effective_rank": 9.0,
        "retrieval_at_2": 1.0,
        "probe_error_at_2": {"pucks_m": 0.01},
        "success": success,
    }


def test_figures_are_those_at_the_horizon():
    figures = figures_of(block(0.9, {"mean": 0.8, "n": 5}), 2)
    assert figures["hri_at_2"] == 0.9
    assert figures["pucks_m_at_2"] == 0.01
    assert figures["success"] == 0.8
    assert "success" not in figures_of(block(0.9), 2)


def test_the_spread_is_over_models():
    family = spread([figures_of(block(hri), 2) for hri in (0.8, 0.9, 1.0)])
    assert family["hri_at_2"] == [0.8, 0.9, 1.0]
    assert family["mean"]["hri_at_2"] == pytest.approx(0.9)
    assert family["std"]["hri_at_2"] == pytest.approx(0.1)
    assert family["std"]["pucks_m_at_2"] == 0
    assert not {"model_hash", "valid", "hri"} & set(family["mean"])
    assert family["hri"] == [[0.99, 0.8], [0.99, 0.9], [0.99, 1.0]]


def test_one_model_has_no_spread():
    assert spread([figures_of(block(0.9), 2)])["std"]["hri_at_2"] is None


def test_labels_never_cover_each_other_and_stay_inside():
    heights = _spread_out([0.0, 0.5, 0.51, 0.52, 0.99, 1.0, 1.0], 0.05, 0.0, 1.0)
    assert min(b - a for a, b in zip(heights, heights[1:], strict=False)) >= 0.05 - 1e-9
    assert heights[0] == 0.0
    assert heights[-1] <= 1.0
    assert heights[1] == 0.5
