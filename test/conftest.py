"""Settings for every test: one thread, no screen, no network discovery beyond this machine.

Also models of random weights, for the tests of quantisation and engine, and recipes of weights run
with a stand-in for `sdiwm`.
"""

import os
import subprocess

import pytest

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("PYOPENGL_PLATFORM", os.environ["MUJOCO_GL"])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.fixture
def recipe_with(tmp_path):
    """Makes a runner of a script of .ci, told a stand-in for `sdiwm` and what names its output.

    The runner returns the exit status and the commands that the stand-in noted in its {log}.
    """
    log, program = tmp_path / "log", tmp_path / "bin" / "sdiwm"

    def made(script, output, stand_in):
        program.parent.mkdir()
        program.write_text(stand_in.format(log=log))
        program.chmod(0o755)
        here = {"BIN": str(program.parent), output: str(tmp_path / "out")}

        def run(task, seed=0, **environment):
            log.write_text("")
            variables = {**os.environ, **here, **environment}
            done = subprocess.run([script, task, str(seed)], env=variables, check=False)
            return done.returncode, log.read_text().replace(f"{tmp_path}/out/", "").splitlines()

        return run

    return made


@pytest.fixture(scope="session")
def float_weights():
    """Float weights of a `reach`-sized model: lively enough that nothing saturates or dies."""
    import numpy as np

    rng = np.random.default_rng(0)

    def layer(name, out, inward, gain=1.0, bias=True):
        weights[f"{name}.weight"] = (
            rng.standard_normal((out, inward)) * gain / np.sqrt(inward)
        ).astype(np.float32)
        if bias:
            weights[f"{name}.bias"] = (0.1 * rng.standard_normal(out)).astype(np.float32)

    weights = {}
    for i, (out, inward) in enumerate([(128, 72), (64, 128), (32, 64)]):
        layer(f"fusion.{i}", out, inward, 1.4)
    weights["fusion.proprio_mean"] = rng.uniform(-0.5, 0.5, 8).astype(np.float32)
    weights["fusion.proprio_std"] = rng.uniform(0.3, 2.0, 8).astype(np.float32)
    layer("dynamics.input", 64, 52, 1.4)
    layer("dynamics.gru_input", 96, 64, 1.2)
    layer("dynamics.gru_hidden", 96, 32, 1.2)
    for head in ("cost", "value"):
        layer(f"{head}.input", 64, 32, 1.4, bias=False)
        layer(f"{head}.gain", 64, 16)
        layer(f"{head}.shift", 64, 16)
        layer(f"{head}.output", 1, 64, 2.0)
    return weights


@pytest.fixture(scope="session")
def float_weights_with_prior(float_weights):
    """The same with a policy prior of 48 hidden units that proposes 12 steps of 4 actions."""
    import numpy as np

    rng = np.random.default_rng(3)
    prior = {}
    for name, shape in {"input": (48, 32), "gain": (48, 16), "shift": (48, 16)}.items():
        prior[f"prior.{name}.weight"] = rng.standard_normal(shape) / np.sqrt(shape[1])
        prior[f"prior.{name}.bias"] = 0.1 * rng.standard_normal(shape[0])
    del prior["prior.input.bias"]
    prior["prior.output.weight"] = rng.standard_normal((48, 48)) * 2.0 / np.sqrt(48)
    prior["prior.output.bias"] = 0.1 * rng.standard_normal(48)
    return float_weights | {name: w.astype(np.float32) for name, w in prior.items()}


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory, calibration):
    """A complete bundle of random weights, which takes every sentence for some goal."""
    import torch

    from sdiwm_model.checkpoint import WEIGHTS, Manifest, save_weights, write_manifest
    from sdiwm_model.compression.quantise import quantise
    from sdiwm_model.compression.quantised_model import save_engine
    from sdiwm_model.export.onnx import export_onnx
    from sdiwm_model.planning.protocols import PlannerSettings
    from sdiwm_model.sizes import find_size
    from sdiwm_model.text_encoder import TextEncoder
    from sdiwm_model.world_model import WorldModel

    folder = tmp_path_factory.mktemp("random_bundle")
    torch.manual_seed(0)
    model = WorldModel(find_size("reach_student"))
    with torch.no_grad():
        model.language.grounding.bias[-1] = -1e3
    save_weights(folder / WEIGHTS, model)
    export_onnx(folder, model)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    save_engine(quantise(weights, calibration), folder / "engine.safetensors")
    manifest = Manifest(
        task="reach",
        size="reach_student",
        sizes=model.size,
        dt=0.04,
        goals=("red", "green", "blue", "yellow"),
        action_limit=(1.5, 1.5, 1.5, 1.5),
        planner=PlannerSettings(candidates=32, horizon=4),
        text_encoder=TextEncoder().describe(),
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="session")
def wam_bundle(tmp_path_factory, random_bundle):
    """The same with a miniature world-action model of random weights."""
    import shutil

    import torch

    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.wam.checkpoint import FOLDER, WamManifest, save_wam
    from sdiwm_model.wam.export import export_wam
    from sdiwm_model.wam.model import WorldActionModel
    from sdiwm_model.wam.sizes import size_for
    from sdiwm_model.wam.weights import FLOAT

    folder = tmp_path_factory.mktemp("wam") / "bundle"
    shutil.copytree(random_bundle, folder)
    base = read_manifest(folder)
    torch.manual_seed(1)
    model = WorldActionModel(size_for(base.sizes, "miniature"))
    with torch.no_grad():
        for weights in model.parameters():
            if not weights.any():  # what training begins at zero
                weights.normal_(std=0.1)
    save_wam(folder / FOLDER, model, WamManifest(model.size, base.model_hash))
    export_wam(folder, base, (FLOAT,))
    return folder


@pytest.fixture(scope="session")
def calibration(float_weights):
    import numpy as np

    from sdiwm_model.compression.activations import Calibration

    rng = np.random.default_rng(1)
    proprio = rng.standard_normal((200, 8)) * float_weights["fusion.proprio_std"]
    return Calibration(
        latents=np.tanh(rng.standard_normal((64, 32))).astype(np.float32),
        actions=rng.uniform(-1, 1, (64, 30, 4)).astype(np.float32),
        conditionings=rng.uniform(-1, 1, (6, 16)).astype(np.float32),
        features=rng.uniform(-1, 1, (200, 64)).astype(np.float32),
        proprio=(float_weights["fusion.proprio_mean"] + proprio).astype(np.float32),
    )


@pytest.fixture(scope="session")
def quantised(float_weights, calibration):
    from sdiwm_model.compression.quantise import quantise

    return quantise(float_weights, calibration)


@pytest.fixture(scope="session")
def quantised_with_prior(float_weights_with_prior, calibration):
    from sdiwm_model.compression.quantise import quantise

    return quantise(float_weights_with_prior, calibration)


@pytest.fixture(scope="session")
def hostile(hostile_of):
    return hostile_of(6)


@pytest.fixture(scope="session")
def hostile_with_prior(hostile_of):
    return hostile_of(6, plan_horizon=3)


@pytest.fixture(scope="session")
def hostile_of():
    return _hostile_model


def _hostile_model(action, plan_horizon=0, latent=8, hidden=12, head=8, fusion=(7, 5)):
    """Integers that training would never give: full-range weights, any shift and multiplier.

    Widths are small unless asked; with 6 actions the smallest that still have two groups of actions
    with unused places. A `plan_horizon` is that of a policy prior.
    """
    import numpy as np

    from sdiwm_model.compression.quantised_model import (
        FusionUnits,
        GoalUnits,
        Layer,
        PriorUnits,
        QuantisedModel,
    )

    rng = np.random.default_rng(2)
    prior = 7
    shapes = {
        "fusion_0": (fusion[0], 5),
        "fusion_1": (fusion[1], fusion[0]),
        "fusion_2": (latent, fusion[1]),
        "input": (hidden, latent + action),
        "reset": (latent, hidden + latent),
        "update": (latent, hidden + latent),
        "candidate_input": (latent, hidden),
        "candidate_hidden": (latent, latent),
        "cost_input": (head, latent),
        "cost_output": (1, head),
        "value_input": (head, latent),
        "value_output": (1, head),
    }
    if plan_horizon:
        shapes |= {"prior_input": (prior, latent), "prior_output": (plan_horizon * action, prior)}
    layers = {
        name: Layer(
            rng.integers(-128, 128, shape).astype(np.int8),
            rng.integers(-(2**20), 2**20, shape[0]).astype(np.int32),
            rng.integers(0, 14, shape[0]).astype(np.int32),
            rng.integers(0, 32768, shape[0]).astype(np.int16),
        )
        for name, shape in shapes.items()
    }

    def floats(*shape):
        return rng.uniform(-1, 1, shape).astype(np.float32)

    def film(prefix, width):
        units = {}
        for part in ("gain", "shift"):
            units[f"{prefix}{part}_weight"] = floats(width, 3)
            units[f"{prefix}{part}_bias"] = floats(width)
        units[f"{prefix}gain_unit"] = np.full(width, 32767.0)
        units[f"{prefix}shift_unit"] = np.float64(1e-4)
        return units

    units = {"input_weight": floats(hidden, 3), "input_bias": floats(hidden)}
    units |= {"input_unit": np.full(hidden, 1e-4)} | film("cost_", head) | film("value_", head)
    units |= {"cost_unit": np.float64(1e-3), "value_unit": np.float64(1e-3)}
    fusion = FusionUnits(floats(2), np.ones(2, np.float32), np.float64(1e-4))
    priors = PriorUnits(**film("", prior)) if plan_horizon else None
    return QuantisedModel(layers, GoalUnits(**units), fusion, priors)
