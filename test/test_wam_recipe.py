"""`make wam` collects demonstrations once, trains on them, and goes on where it stopped."""

import os
import subprocess
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parent.parent / ".ci" / "wam.sh"

# Notes what it is told, and writes what the real one writes last.
SDIWM = """#!/bin/bash
echo "$*" >> "{log}"
for word; do out=$word; done
if [ "$1" = "$FAIL" ]; then exit 1; fi
mkdir -p "$out/wam"
touch "$out/$(if [ "$1" = collect ]; then echo manifest.json; else echo wam/wam.json; fi)"
"""


@pytest.fixture
def recipe(tmp_path):
    """Runs the recipe with a stand-in for `sdiwm`; returns its exit status and the commands."""
    log, program = tmp_path / "log", tmp_path / "bin" / "sdiwm"
    program.parent.mkdir()
    program.write_text(SDIWM.format(log=log))
    program.chmod(0o755)
    here = {"BIN": str(program.parent), "WAM": str(tmp_path / "out")}

    def run(task, seed=0, **environment):
        log.write_text("")
        variables = {**os.environ, **here, **environment}
        done = subprocess.run([RECIPE, task, str(seed)], env=variables, check=False)
        return done.returncode, log.read_text().replace(f"{tmp_path}/out/", "").splitlines()

    return run


def test_all_seeds_learn_from_the_same_demonstrations_on_the_shipped_encoder(recipe):
    collect = (
        "collect --task push --episodes 900 --steps 72 --seed 30 --mixture demonstration=1 "
        "--out push/demonstrations"
    )
    train = (
        "wam --bundle sdiwm_model/weights/push --data push/demonstrations --set updates=500 "
        "--seed {0} --out push/{0}"
    )
    assert recipe("push") == (0, [collect, train.format(0)])
    assert recipe("push", seed=2) == (0, [train.format(2)])
    assert recipe("push", seed=2) == (0, [])


def test_what_failed_is_made_again(recipe):
    status, commands = recipe("reach", FAIL="wam")
    assert status == 1
    assert [command.split()[0] for command in commands] == ["collect", "wam"]
    assert recipe("reach") == (0, commands[1:])


def test_a_task_without_a_recipe_is_refused(recipe):
    assert recipe("cartpole") == (2, [])
