"""The ONNX engine makes the chunks that torch makes, whatever saves it work."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size
from sdiwm_model.wam.checkpoint import FOLDER, WamManifest, save_wam
from sdiwm_model.wam.export import export_wam
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.onnx_engine import OnnxWamEngine
from sdiwm_model.wam.protocols import StepPair, WamEngine
from sdiwm_model.wam.sizes import size_for
from sdiwm_model.wam.switches import UNOPTIMISED, Switches
from sdiwm_model.wam.torch_engine import TorchWamEngine
from sdiwm_model.wam.weights import FLOAT

MODEL = find_size("miniature")
BASE = Manifest("reach", "miniature", MODEL, 0.04, ("red",), (1.0,), PlannerSettings(), {})
SIZE = size_for(MODEL, "miniature", depth=3)
MODES = (
    StepPair(1, 2),
    StepPair(4, 1),
    StepPair(3, 3),
    StepPair(2, 2, "inverse"),
    StepPair(0, 3, "prefill"),
    StepPair(0, 2, "policy"),
)
TOLERANCE = 1e-4


def random_model(seed=0):
    """Every weight drawn, and none zero as before training, in the numbers that are stored."""
    torch.manual_seed(seed)
    model = WorldActionModel(SIZE)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor += 0.1 * torch.randn_like(tensor)
            tensor.copy_(tensor.half().float())
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    bundle = tmp_path_factory.mktemp("bundle")
    save_wam(bundle / FOLDER, model, WamManifest(SIZE, BASE.model_hash))
    export_wam(bundle, BASE, (FLOAT,))
    return bundle / FOLDER


def episode(length, seed=0):
    return np.random.default_rng(seed).standard_normal((length, SIZE.observation), np.float32)


def drawn(chunks=1, seed=1):
    draw = np.random.default_rng(seed)
    c = draw.uniform(-1, 1, SIZE.conditioning).astype(np.float32)
    return c, draw.standard_normal((chunks, SIZE.chunk, SIZE.action), np.float32)


def shown(engine, observations):
    engine.begin()
    for o in observations:
        engine.observe(o)
    return engine


@pytest.fixture(scope="module")
def engine(folder):
    return OnnxWamEngine(folder, SIZE)


@pytest.mark.parametrize("steps", MODES, ids=str)
@pytest.mark.parametrize("prefix", [0, 3])
def test_chunks_and_what_is_imagined_are_torchs(engine, model, steps, prefix):
    assert isinstance(engine, WamEngine)
    engines = [shown(each, episode(9)) for each in (engine, TorchWamEngine(model))]
    c, noise = drawn(2)
    ours, theirs = (e.chunks(c, noise, steps, noise[0, :prefix].clip(-1, 1)) for e in engines)
    assert np.abs(theirs - noise.clip(-1, 1)).max() > 0.05
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)
    if steps.mode != "policy":
        ours, theirs = (e.imagine(c, noise[0], steps) for e in engines)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_a_chunk_is_the_same_alone_and_among_others(engine):
    shown(engine, episode(5))
    c, noise = drawn(4)
    together = engine.chunks(c, noise, StepPair(1, 2))
    alone = np.stack([engine.chunk(c, each, StepPair(1, 2)) for each in noise])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 7, 20])
def test_the_rolling_cache_gives_what_computing_everything_again_does(folder, engine, length):
    again = OnnxWamEngine(folder, SIZE, replace(Switches(), streaming=False))
    engines = [shown(each, episode(length)) for each in (engine, again)]
    c, noise = drawn()
    ours, theirs = (e.chunk(c, noise[0], StepPair(0, 2, "policy")) for e in engines)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_a_long_episode_leaves_no_trace_beyond_the_windows(engine):
    """The cache is as large as at the start, and holds nothing of what is long gone."""
    c, noise = drawn()
    steps = StepPair(0, 1, "policy")
    kept = SIZE.depth * SIZE.window
    observations = episode(100)
    shown(engine, observations)
    arrays = [id(x) for x in engine._cache.feed().values()]
    for _ in range(19):
        for o in observations:
            engine.observe(o)
    assert [id(x) for x in engine._cache.feed().values()] == arrays
    late = engine.chunk(c, noise[0], steps)
    fresh = shown(engine, observations[-kept:]).chunk(c, noise[0], steps)
    np.testing.assert_allclose(late, fresh, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["streaming", "kv_reuse", "gate_cache"])
def test_saving_work_alone_changes_nothing(folder, model, name):
    saving = OnnxWamEngine(folder, SIZE, replace(UNOPTIMISED, **{name: True}))
    engines = [shown(each, episode(6)) for each in (saving, TorchWamEngine(model))]
    c, noise = drawn()
    ours, theirs = (e.chunk(c, noise[0], StepPair(2, 2)) for e in engines)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("drop", ["random", "ranked"])
@pytest.mark.parametrize("base", [Switches(), UNOPTIMISED], ids=["default", "unoptimised"])
def test_half_the_future_is_the_half_that_torch_imagines(folder, model, drop, base):
    sparse = OnnxWamEngine(folder, SIZE, replace(base, token_drop=drop))
    engines = [shown(each, episode(6)) for each in (sparse, TorchWamEngine(model, drop))]
    c, noise = drawn()
    for steps in (StepPair(2, 2), StepPair(1, 1)):
        ours, theirs = (e.imagine(c, noise[0], steps) for e in engines)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_the_few_step_head_is_told_how_long_its_steps_are(folder, model):
    long = OnnxWamEngine(folder, SIZE, replace(Switches(), one_step=True))
    engines = [
        shown(e, episode(6))
        for e in (long, TorchWamEngine(model, one_step=True), TorchWamEngine(model))
    ]
    c, noise = drawn()
    prefix = noise[0, :2].clip(-1, 1)
    for steps, differs in ((StepPair(1, 1), True), (StepPair(0, 8, "policy"), False)):
        ours, theirs, short = (e.chunk(c, noise[0], steps, prefix) for e in engines)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)
        assert (np.abs(ours - short).max() > 1e-3) == differs


def test_what_the_middle_layers_add_is_taken_over_every_other_pass(folder, engine):
    """Of passes that all are alike, the second is what the first was; the first is exact."""
    quick = OnnxWamEngine(folder, SIZE, replace(Switches(), feature_cache=True))
    c, noise = drawn()
    for steps, same in ((StepPair(1, 1), True), (StepPair(0, 2, "policy"), False)):
        fast, exact = (shown(e, episode(4)).chunk(c, noise[0], steps) for e in (quick, engine))
        assert (np.abs(fast - exact).max() < 1e-5) == same
        assert np.abs(fast - exact).max() < 0.2


def test_a_chunk_before_any_observation_is_refused(engine):
    engine.begin()
    c, noise = drawn()
    with pytest.raises(SdiwmError, match="call observe first"):
        engine.chunk(c, noise[0], StepPair())


def test_a_prefix_longer_than_the_chunk_is_refused(engine):
    shown(engine, episode(1))
    c, noise = drawn()
    prefix = np.zeros((SIZE.chunk + 1, SIZE.action), np.float32)
    with pytest.raises(SdiwmError, match="the prefix holds 9 actions, a chunk 8"):
        engine.chunk(c, noise[0], StepPair(), prefix)


def test_a_policy_imagines_nothing(engine):
    shown(engine, episode(1))
    c, noise = drawn()
    with pytest.raises(SdiwmError, match="imagines nothing"):
        engine.imagine(c, noise[0], StepPair(0, 1, "policy"))


def test_torch_is_not_needed_to_run_it(folder):
    """In a process of its own, where importing torch fails."""
    import subprocess
    import sys

    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from sdiwm_model.wam.onnx_engine import OnnxWamEngine\n"
        "from sdiwm_model.wam.protocols import StepPair\n"
        "from sdiwm_model.wam.sizes import WamSize\n"
        f"size = WamSize(**{SIZE.to_dict()!r})\n"
        f"engine = OnnxWamEngine(Path({str(folder)!r}), size)\n"
        "engine.observe(np.zeros(size.observation, np.float32))\n"
        "c = np.zeros(size.conditioning, np.float32)\n"
        "noise = np.zeros((size.chunk, size.action), np.float32)\n"
        "print(engine.chunk(c, noise, StepPair()).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "(8, 4)", done.stderr
