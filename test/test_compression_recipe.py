"""`make compression` collects, trains a full model and compresses it; stopped, it goes on."""

import shutil
from pathlib import Path

import pytest

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.compression.pipeline import Source

HERE = Path(__file__).resolve().parent.parent
RECIPE = HERE / ".ci" / "compression.sh"
SHIPPED = sorted((HERE / "sdiwm_model" / "weights").glob("*/full"))

# Notes what it is told, and writes what the real one writes last.
SDIWM = """#!/bin/bash
echo "$*" >> "{log}"
for word; do out=$word; done
if [ "$1" = "$FAIL" ]; then exit 1; fi
mkdir -p "$out"
case $1 in
    collect) touch "$out/manifest.json" ;;
    train) touch "$out/model.json" ;;
    compress) touch "$out/model_card.json" ;;
esac
"""


@pytest.fixture
def recipe(recipe_with, tmp_path):
    """Of a copy, beside which no full model is shipped."""
    copy = tmp_path / ".ci" / RECIPE.name
    copy.parent.mkdir()
    for each in (RECIPE, RECIPE.with_name("steps.sh")):
        shutil.copy(each, copy.parent)
    return recipe_with(copy, "COMPRESSION", SDIWM)


def verbs(commands):
    """What each command does: its name, and the recipe of a compression."""
    words = [command.split() for command in commands]
    return [w[w.index("--recipe") + 1] if "--recipe" in w else w[0] for w in words]


def sources(commands):
    """What each compression starts from."""
    words = [command.split() for command in commands]
    return {w[w.index("--model") + 1] for w in words if w[0] == "compress"}


STAGES = ["prune", "deploy", "microcontroller"]


def test_a_seed_has_its_own_full_model_and_all_stages_of_it(recipe):
    status, commands = recipe("push")
    assert status == 0
    assert verbs(commands) == ["collect", "collect", "train", "quantise", *STAGES]
    assert sources(commands) == {"push/full/0"}
    status, commands = recipe("push", seed=1)
    assert (status, verbs(commands)) == (0, ["train", "quantise", *STAGES])
    assert sources(commands) == {"push/full/1"}
    assert recipe("push", seed=1) == (0, [])


def test_one_full_model_may_serve_all_seeds(recipe):
    recipe("reach")
    status, commands = recipe("reach", seed=2, TEACHER="0")
    assert (status, verbs(commands)) == (0, STAGES)
    assert sources(commands) == {"reach/full/0"}


def test_a_shipped_full_model_is_not_trained_again(recipe, tmp_path):
    shipped = tmp_path / "sdiwm_model" / "weights" / "reach" / "full"
    shipped.mkdir(parents=True)
    (shipped / "model.json").touch()
    commands = recipe("reach")[1]
    assert verbs(commands) == ["collect", "collect", "quantise", *STAGES]
    assert sources(commands) == {"sdiwm_model/weights/reach/full"}
    assert "train" in verbs(recipe("reach", seed=1)[1])


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda f: f.parent.name)
def test_the_shipped_full_models_can_be_compressed(folder):
    source = Source(folder, (), seed=0).foreseen()
    assert (read_manifest(folder).task, source.sizes.latent) == (folder.parent.name, 256)


def test_what_failed_is_made_again(recipe):
    status, commands = recipe("jaco_reach", FAIL="train")
    assert (status, verbs(commands)) == (1, ["collect", "collect", "train"])
    assert verbs(recipe("jaco_reach")[1]) == ["train", "quantise", *STAGES]


def test_a_task_without_a_recipe_is_refused(recipe):
    assert recipe("cartpole") == (2, [])
