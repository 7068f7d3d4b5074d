"""`make wam` collects demonstrations once, trains on them, and goes on where it stopped."""

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
def recipe(recipe_with):
    return recipe_with(RECIPE, "WAM", SDIWM)


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
