"""Generated programs touch no byte outside their arena and rely on no undefined behaviour."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from sdiwm_model.export.compiler.codegen import generate
from sdiwm_model.export.compiler.layout import arrange, layout
from sdiwm_model.export.compiler.patches import possible_lengths, stage
from sdiwm_model.firmware.network import NAME, checksum, definitions, fnv
from sdiwm_model.firmware.networks import sample_program
from sdiwm_model.firmware.on_host import FLAGS, SANITIZERS
from sdiwm_model.firmware.sample_networks import NETWORKS
from sdiwm_model.runtime.build import find_compiler, sources

from .conftest import random_integers

RUNS = 20
PLANS = dict.fromkeys(NETWORKS, layout) | {
    "picture_in_strips": lambda program: arrange(
        program, stage(program, possible_lengths(program)[-1], 3)
    )
}


@pytest.mark.parametrize("name", PLANS)
def test_sanitizers_find_nothing_and_integers_are_the_reference(name, tmp_path):
    plan = PLANS[name](sample_program(name.removesuffix("_in_strips"), 0))
    for file, text in generate(plan, NAME).items():
        (tmp_path / file).write_text(text)
    command = [
        find_compiler(), *FLAGS, *SANITIZERS, *definitions(plan), f"-I{tmp_path}",
        f"-I{sources() / 'kernels'}", str(Path(__file__).with_name("run_network.cpp")),
        str(tmp_path / f"{NAME}.cpp"), "-o", str(tmp_path / "run"),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    program, rng = plan.program, np.random.default_rng(1)
    given = [random_integers(program, rng) for _ in range(RUNS)]
    raw = b"".join(
        x[n].astype(program.tensors[n].dtype).tobytes() for x in given for n in program.inputs
    )
    done = subprocess.run([tmp_path / "run"], input=raw, capture_output=True, check=True)
    at = 0
    for x in given:
        found = {}
        for n in program.outputs:
            size = program.tensors[n].bytes
            found[n] = np.frombuffer(done.stdout[at : at + size], program.tensors[n].dtype)
            at += size
        assert fnv(plan, found) == checksum(plan, x)
    assert at == len(done.stdout)
