import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from sdiwm_model.compression.activations import float_step
from sdiwm_model.compression.fixed_point import (
    actions_to_int8,
    latent_from_q15,
    latent_to_q15,
)
from sdiwm_model.compression.integer_reference import IntegerModel, fusion_inputs
from sdiwm_model.compression.quantise import quantise
from sdiwm_model.compression.quantised_model import (
    load_engine,
    make_goal,
    save_engine,
)
from sdiwm_model.compression.ranges import Ranges
from sdiwm_model.errors import SdiwmError


def relu(x):
    return np.maximum(x, 0)


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def float_fusion(w, features, proprio):
    x = np.concatenate(
        [features, (proprio - w["fusion.proprio_mean"]) / w["fusion.proprio_std"]], 1
    )
    return np.tanh(
        linear(w, "fusion.2", relu(linear(w, "fusion.1", relu(linear(w, "fusion.0", x)))))
    )


def float_head(w, head, z, c):
    gain = 1 / (1 + np.exp(-linear(w, f"{head}.gain", c)))
    hidden = relu(gain * (z @ w[f"{head}.input.weight"].T) + linear(w, f"{head}.shift", c))
    return linear(w, f"{head}.output", hidden)[:, 0]


def float_path(w, z, actions, c):
    path = []
    for t in range(actions.shape[1]):
        z = float_step(w, z, actions[:, t], np.repeat(c[None], len(z), axis=0))
        path.append(z)
    return np.stack(path, axis=1)


def test_float_step_is_the_model_that_was_trained(float_weights, calibration):
    torch = pytest.importorskip("torch")
    from sdiwm_model.dynamics import Dynamics
    from sdiwm_model.sizes import find_size

    model = Dynamics(find_size("reach_student"))
    state = {k.removeprefix("dynamics."): torch.tensor(v) for k, v in float_weights.items()
             if k.startswith("dynamics.")}  # fmt: skip
    model.load_state_dict(state)
    z, a, c = calibration.latents[:6], calibration.actions[:6, 0], calibration.conditionings
    with torch.no_grad():
        expected = model(torch.tensor(z), torch.tensor(a), torch.tensor(c)).numpy()
    np.testing.assert_allclose(float_step(float_weights, z, a, c), expected, atol=1e-6)


def test_quantised_rollouts_track_the_float_model(float_weights, calibration, quantised):
    c = calibration.conditionings[0]
    expected = float_path(float_weights, calibration.latents, calibration.actions, c)
    model = IntegerModel(quantised)
    path = model.rollout(
        model.goal(c), latent_to_q15(calibration.latents), actions_to_int8(calibration.actions)
    )
    error = np.sqrt(np.square(latent_from_q15(path) - expected).mean(axis=(0, 2)))
    assert error.max() < 0.0075  # one 8-bit step; over 30 steps, of latents that spread by 0.4
    assert expected.std() > 0.3


def test_a_gate_that_one_channel_decides_is_scaled_as_the_others(float_weights, calibration):
    """Its weights times one step of the channel are more than the gate's 16 bits resolve."""
    w = dict(float_weights)
    w["dynamics.gru_input.weight"] = w["dynamics.gru_input.weight"].copy()
    w["dynamics.gru_input.weight"][32:40, ::9] *= 25
    c = calibration.conditionings[0]
    model = IntegerModel(quantise(w, calibration))
    path = model.rollout(
        model.goal(c), latent_to_q15(calibration.latents), actions_to_int8(calibration.actions)
    )
    expected = float_path(w, calibration.latents, calibration.actions, c)
    error = np.sqrt(np.square(latent_from_q15(path) - expected).mean(axis=(0, 2)))
    assert error.max() < 0.05


def test_fusion_tracks_the_float_model(float_weights, calibration, quantised):
    x = fusion_inputs(quantised, calibration.features, calibration.proprio)
    got = latent_from_q15(IntegerModel(quantised).fuse(x))
    expected = float_fusion(float_weights, calibration.features, calibration.proprio)
    assert np.sqrt(np.square(got - expected).mean()) < 0.012
    assert expected.std() > 0.3


def test_fusion_resolves_a_milliradian(calibration, quantised):
    """int8 inputs would not: a joint that ranges over 4 rad would move in steps of 16 mrad."""
    proprio = np.repeat(calibration.proprio[:1], 2, axis=0)
    proprio[1, :4] += 1e-3
    x = fusion_inputs(quantised, np.repeat(calibration.features[:1], 2, axis=0), proprio)
    assert (x[0, 64:68] != x[1, 64:68]).all()


@pytest.mark.parametrize("head", ["cost", "value"])
def test_heads_track_the_float_model(float_weights, calibration, quantised, head):
    model = IntegerModel(quantised)
    for c in calibration.conditionings:
        path = float_path(float_weights, calibration.latents, calibration.actions[:, :10], c)
        z = path[:, -1]
        got = getattr(model, head)(model.goal(c), latent_to_q15(z)) * float(
            getattr(quantised.goal, f"{head}_unit")
        )
        expected = float_head(float_weights, head, z, c)
        assert np.abs(got - expected).max() < 0.028
        assert expected.std() > 0.05


def test_the_prior_tracks_the_float_model(
    float_weights_with_prior, calibration, quantised_with_prior
):
    w, model = float_weights_with_prior, IntegerModel(quantised_with_prior)
    assert quantised_with_prior.plan_horizon == 12
    for c in calibration.conditionings:
        goal = model.goal(c)
        z = calibration.latents
        got = np.stack([model.prior(goal, row) for row in latent_to_q15(z)]) / 32512
        gain = 1 / (1 + np.exp(-linear(w, "prior.gain", c)))
        hidden = relu(gain * (z @ w["prior.input.weight"].T) + linear(w, "prior.shift", c))
        expected = np.tanh(linear(w, "prior.output", hidden)).reshape(-1, 12, 4)
        assert np.quantile(np.abs(got - expected), 0.99) < 0.04  # the rest saturates
        assert np.sqrt(np.square(got - expected).mean()) < 0.012
        assert expected.std() > 0.3


def test_a_prior_leaves_all_other_integers_alone(quantised, quantised_with_prior):
    for name, layer in quantised.layers.items():
        np.testing.assert_array_equal(quantised_with_prior.layers[name].weight, layer.weight)
        np.testing.assert_array_equal(quantised_with_prior.layers[name].bias, layer.bias)


def test_an_ensemble_becomes_its_mean(float_weights, calibration):
    rng = np.random.default_rng(0)
    several = dict(float_weights)
    for part in ("weight", "bias"):
        one = float_weights[f"cost.output.{part}"]
        spread = rng.normal(size=(4, *one.shape[1:])).astype(np.float32)
        several[f"cost.output.{part}"] = one + spread - spread.mean(axis=0)
    folded, plain = quantise(several, calibration), quantise(float_weights, calibration)
    for name in ("cost_input", "cost_output"):
        off = folded.layers[name].weight.astype(int) - plain.layers[name].weight
        assert np.abs(off).max() <= 1  # float32 rounds the mean
    assert folded.goal.cost_unit == pytest.approx(plain.goal.cost_unit, rel=1e-5)


@pytest.mark.parametrize(("action", "proprio"), [(1, 0), (9, 3)])
def test_other_widths_are_quantised(float_weights, calibration, tmp_path, action, proprio):
    rng = np.random.default_rng(0)
    w = dict(float_weights)
    full = w["dynamics.input.weight"]
    moved = rng.normal(size=(64, action)).astype(np.float32) * 0.2
    w["dynamics.input.weight"] = np.hstack([full[:, :32], moved, full[:, 36:]])
    w["fusion.0.weight"] = w["fusion.0.weight"][:, : 64 + proprio]
    for name in ("mean", "std"):
        w[f"fusion.proprio_{name}"] = w[f"fusion.proprio_{name}"][:proprio]
    shorter = replace(
        calibration,
        actions=rng.uniform(-1, 1, (64, 30, action)).astype(np.float32),
        proprio=calibration.proprio[:, :proprio],
    )
    save_engine(quantise(w, shorter), tmp_path / "engine.safetensors")
    q = load_engine(tmp_path / "engine.safetensors")
    assert (q.action, q.proprio, q.features) == (action, proprio, 64)
    model = IntegerModel(q)
    z = latent_from_q15(model.fuse(fusion_inputs(q, shorter.features, shorter.proprio)))
    assert np.sqrt(np.square(z - float_fusion(w, shorter.features, shorter.proprio)).mean()) < 0.012
    c = calibration.conditionings[0]
    path = model.rollout(
        model.goal(c), latent_to_q15(shorter.latents), actions_to_int8(shorter.actions)
    )
    error = latent_from_q15(path) - float_path(w, shorter.latents, shorter.actions, c)
    assert np.sqrt(np.square(error).mean(axis=(0, 2))).max() < 0.01


def test_a_dead_unit_keeps_its_bias(float_weights, calibration):
    weights = {name: w.copy() for name, w in float_weights.items()}
    weights["dynamics.input.weight"][3] = 0.0
    weights["fusion.2.weight"][5] = 0.0
    weights["fusion.2.bias"][5] = 0.5
    q = quantise(weights, calibration)
    x = fusion_inputs(q, calibration.features, calibration.proprio)
    z = latent_from_q15(IntegerModel(q).fuse(x))
    np.testing.assert_allclose(z[:, 5], np.tanh(0.5), atol=1e-3)


def test_quantising_twice_gives_the_same_integers(float_weights, calibration, quantised):
    again = quantise(float_weights, calibration)
    for name, layer in quantised.layers.items():
        np.testing.assert_array_equal(again.layers[name].weight, layer.weight)
        np.testing.assert_array_equal(again.layers[name].multiplier, layer.multiplier)


def test_the_file_returns_the_same_model(quantised, calibration, tmp_path):
    path = tmp_path / "engine.safetensors"
    save_engine(quantised, path)
    loaded = load_engine(path)
    for name, layer in quantised.layers.items():
        for part in ("weight", "bias", "shift", "multiplier"):
            np.testing.assert_array_equal(getattr(loaded.layers[name], part), getattr(layer, part))
    c = calibration.conditionings[0]
    assert make_goal(loaded, c).to_bytes() == make_goal(quantised, c).to_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["engine.safetensors"]


def rewrite_header(path, change):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda header: header["__metadata__"].update(format_version="2"), "format_version is 2"),
        (lambda header: header["__metadata__"].update(format="other"), "not an engine file"),
        (lambda header: header.pop("__metadata__"), "not an engine file"),
        (lambda header: header.update({"x": header.pop("layer.reset.bias")}), "reset.bias"),
        (lambda header: header["layer.reset.bias"].update(shape=[4, 8]), "layer 'reset'"),
    ],
)
def test_a_foreign_file_is_refused_in_words(quantised, tmp_path, change, complaint):
    path = tmp_path / "engine.safetensors"
    save_engine(quantised, path)
    rewrite_header(path, change)
    with pytest.raises(SdiwmError, match="sdiwm export") as refused:
        load_engine(path)
    assert complaint in str(refused.value)
    assert str(path) in str(refused.value)


def test_the_file_returns_the_same_prior(quantised_with_prior, calibration, tmp_path):
    path = tmp_path / "engine.safetensors"
    save_engine(quantised_with_prior, path)
    loaded, c = load_engine(path), calibration.conditionings[0]
    assert make_goal(loaded, c).to_bytes() == make_goal(quantised_with_prior, c).to_bytes()
    z = latent_to_q15(calibration.latents[0])
    np.testing.assert_array_equal(
        IntegerModel(loaded).prior(make_goal(loaded, c), z),
        IntegerModel(quantised_with_prior).prior(make_goal(loaded, c), z),
    )
    rewrite_header(path, lambda header: header.update({"x": header.pop("prior.gain_unit")}))
    with pytest.raises(SdiwmError, match="gain_unit"):
        load_engine(path)


@pytest.mark.parametrize("keep", [0, 5, 100, 20000])
def test_a_truncated_file_is_refused_in_words(quantised, tmp_path, keep):
    path = tmp_path / "engine.safetensors"
    save_engine(quantised, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SdiwmError, match="truncated or damaged"):
        load_engine(path)
    path.unlink()
    with pytest.raises(SdiwmError, match="missing"):
        load_engine(path)


def test_bad_calibration_is_named(float_weights, calibration):
    bad = calibration.features.copy()
    bad[3, 3] = np.nan
    with pytest.raises(SdiwmError, match="features"):
        quantise(float_weights, replace(calibration, features=bad))
    with pytest.raises(SdiwmError, match="actions"):
        quantise(float_weights, replace(calibration, actions=calibration.actions[:3]))


@pytest.mark.parametrize("c", [np.zeros(15), np.full(16, np.nan), np.zeros((1, 16))])
def test_a_bad_conditioning_is_refused(quantised, c):
    with pytest.raises(SdiwmError, match="conditioning"):
        make_goal(quantised, c)


def test_an_open_gate_stays_open(float_weights, calibration):
    """A gate saturates at its multiplier, 4 to 8; sums beyond that must not stop at 4."""
    w = {name: value.copy() for name, value in float_weights.items()}
    w["dynamics.gru_hidden.bias"][32:64] += 7.0  # z' = z almost exactly, whatever the action
    c = calibration.conditionings[0]
    expected = float_path(w, calibration.latents, calibration.actions, c)

    def drift(gates):
        model = IntegerModel(quantise(w, calibration, ranges=Ranges(gates=gates)))
        start = latent_to_q15(calibration.latents)
        path = model.rollout(model.goal(c), start, actions_to_int8(calibration.actions))
        return np.sqrt(np.square(latent_from_q15(path)[:, -1] - expected[:, -1]).mean())

    assert drift(1.0) < 0.5 * drift(0.0)
    multiplier = quantise(w, calibration).layers["update"].multiplier
    assert (multiplier > 6.5 * 4096).all()
