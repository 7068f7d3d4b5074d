"""The kernels touch no byte outside their memory and rely on no undefined behaviour."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.export.codegen import generate
from sdiwm_model.firmware.on_host import FLAGS, SANITIZERS
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.build import (
    ISA_FLAGS,
    build_library,
    find_compiler,
    instruction_sets,
    sources,
)
from sdiwm_model.runtime.native import Library

# gcc 12 takes the undefined value in its own AVX-512 header for a mistake (bug 105593).
QUIET = ("-Wno-uninitialized", "-Wno-maybe-uninitialized")


@pytest.fixture(scope="module", params=[0, 3], ids=["no_prior", "prior"])
def model(request, hostile_of):
    return hostile_of(6, request.param)


@pytest.fixture(scope="module", params=instruction_sets())
def program(request, model, tmp_path_factory):
    isa_flags = [flag for flag in ISA_FLAGS[request.param] if flag.startswith("-m")]
    order = instruction_sets()
    if order.index(request.param) > order.index(Library(build_library(generate(model))).isa):
        pytest.skip(f"this processor has no {request.param}")
    folder = tmp_path_factory.mktemp("sanitized")
    for name, text in generate(model, max_candidates=128, max_horizon=6).items():
        (folder / name).write_text(text)
    source = Path(__file__).with_name("run_plan.cpp")
    include = [f"-I{folder}", f"-I{sources() / 'kernels'}"]
    command = [
        find_compiler(),
        *FLAGS,
        *QUIET,
        *isa_flags,
        *SANITIZERS,
        *include,
        source,
        folder / "model.cpp",
    ]
    subprocess.run([*command, "-o", folder / "run_plan"], check=True)
    return folder / "run_plan"


def records(model, spoil):
    """Plans of the reference; `spoil` is added to the expected costs."""
    rng = np.random.default_rng(8)
    out = b""
    for seed in range(6):
        chosen = PlannerSettings(candidates=2 + 25 * seed, horizon=1 + seed, iterations=2)
        reference = IntegerMppi(model, chosen, seed)
        goal = make_goal(model, rng.uniform(-1, 1, 3).astype(np.float32))
        z = rng.integers(-32767, 32768, model.latent).astype(np.int16)
        mean = rng.integers(-32512, 32513, (chosen.horizon, model.action)).astype(np.int16)
        reference.integers.cold = seed % 2
        integers = bytes(reference.integers)
        expected, cost, _ = reference.plan(goal, z, None if seed % 2 else mean)
        out += goal.to_bytes() + integers + z.tobytes() + mean.tobytes() + expected.tobytes()
        out += np.int32(cost + spoil).tobytes()
    return out


def run(program, content):
    vectors = program.with_name("vectors")
    vectors.write_bytes(content)
    return subprocess.run([program, vectors], capture_output=True, text=True)


def test_plans_run_clean_and_equal_the_reference(program, model):
    done = run(program, records(model, 0))
    assert (done.returncode, done.stdout.strip()) == (0, "6"), done.stderr


def test_a_wrong_integer_is_noticed(program, model):
    assert run(program, records(model, 1)).returncode == 1
