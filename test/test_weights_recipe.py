"""`make weights` goes through its rounds in order, and goes on where it stopped."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / ".ci" / "weights.sh"
CONFIGURED = sorted({p.stem for p in (ROOT / "config/training").glob("*.yaml")} - {"default"})

# Notes what it is told, and writes what the real one writes last.
SDIWM = """#!/bin/bash
echo "$*" >> "{log}"
for word; do out=$word; done
if [ "$1" = "$FAIL" ]; then exit 1; fi
mkdir -p "$out"
touch "$out/$(if [ "$1" = collect ]; then echo manifest.json; else echo model.json; fi)"
"""


@pytest.fixture
def recipe(tmp_path):
    """Runs the recipe with a stand-in for `sdiwm`; returns the commands it gave."""
    log = tmp_path / "log"
    program = tmp_path / "bin" / "sdiwm"
    program.parent.mkdir()
    program.write_text(SDIWM.format(log=log))
    program.chmod(0o755)
    here = {"BIN": str(program.parent), "WEIGHTS": str(tmp_path / "out")}

    def run(task, seed=0, **environment):
        log.write_text("")
        command = [RECIPE, task, str(seed)]
        variables = {**os.environ, **here, **environment}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        return done, log.read_text().replace(f"{tmp_path}/out/{task}/{seed}/", "").splitlines()

    return run


def test_each_round_learns_from_all_before_and_the_last_model_from_scratch(recipe, tmp_path):
    done, commands = recipe("reach", seed=2)
    assert done.returncode == 0, done.stderr
    assert commands == [
        "collect --task reach --episodes 800 --seed 20 --out round-1/data",
        "train --data round-1/data --seed 2 "
        "--set world_steps=4000 size.prior=0 prior_plans=0 --out round-1/run",
        "export --model round-1/run --out round-1/bundle",
        "collect --task reach --episodes 400 --seed 21 --mixture planner=1 "
        "--model round-1/bundle --out round-2/data",
        "train --data round-1/data round-2/data --init round-1/run --seed 2 "
        "--set world_steps=4000 size.prior=0 prior_plans=0 language_steps=0 vision_steps=0 "
        "--out round-2/run",
        "export --model round-2/run --out round-2/bundle",
        "collect --task reach --episodes 400 --seed 22 --mixture planner=1 "
        "--model round-2/bundle --out round-3/data",
        "train --data round-1/data round-2/data round-3/data --seed 2 --out run",
        "export --model run --out bundle",
    ]
    assert (tmp_path / "out" / "reach" / "2" / "bundle" / "model.json").is_file()


def test_what_is_finished_is_not_made_again(recipe):
    failed, first = recipe("reach", FAIL="export")
    assert failed.returncode == 1
    assert [command.split()[0] for command in first] == ["collect", "train", "export"]
    _, second = recipe("reach")
    assert [command.split()[0] for command in second] == [
        "export",
        *["collect", "train", "export"] * 2,
    ]
    assert recipe("reach")[1] == []


def test_a_seed_may_take_the_episodes_of_another(recipe, tmp_path):
    recipe("push", seed=0)
    other = tmp_path / "out" / "push" / "0"
    _, commands = recipe("push", seed=1, EPISODES=str(other))
    assert commands == [
        f"train --data {other}/round-1/data {other}/round-2/data --seed 1 --out run",
        "export --model run --out bundle",
    ]


def test_a_last_model_may_go_on_from_the_last_round(recipe, tmp_path):
    _, commands = recipe("cartpole", seed=1)
    assert commands[-2] == (
        "train --data round-1/data round-2/data round-3/data round-4/data --init round-3/run "
        "--seed 1 --set language_steps=0 vision_steps=0 world_steps=12000 --out run"
    )
    done, commands = recipe("cartpole", seed=2, EPISODES=str(tmp_path / "out" / "cartpole" / "1"))
    assert (done.returncode, commands) == (2, [])
    assert "leave EPISODES out" in done.stderr


@pytest.mark.parametrize("task", CONFIGURED)
def test_every_configured_task_has_a_recipe(recipe, task):
    done, commands = recipe(task)
    assert done.returncode == 0, done.stderr
    assert commands[-1] == "export --model run --out bundle"


def test_a_task_without_a_recipe_is_refused(recipe):
    done, commands = recipe("juggle")
    assert (done.returncode, commands) == (2, [])
    assert "TASK=juggle has no recipe" in done.stderr
