"""Recipes say what is done, are checked before anything is done, and may leave a choice."""

from dataclasses import replace

import pytest
import yaml

from sdiwm_model.checkpoint import read_manifest, write_manifest
from sdiwm_model.compression.pipeline import Source
from sdiwm_model.compression.recipe import FOLDER, alternatives, load_recipe
from sdiwm_model.compression.steps import Foreseen
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.share import share_file
from sdiwm_model.sizes import find_size

SHIPPED = sorted(p.stem for p in share_file(f"{FOLDER}/deploy.yaml").parent.glob("*.yaml"))


@pytest.fixture
def write(tmp_path):
    def written(content):
        path = tmp_path / "own.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(path)

    return written


def foreseen(size="student_64", calibrated=True):
    return Foreseen("the run", find_size(size), PlannerSettings(), calibrated, None)


@pytest.mark.parametrize("task", ["reach", "push", "cartpole", "jaco_reach"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_recipe_that_is_shipped_is_sound_for_every_task(name, task):
    assert load_recipe(name, task).recipes


def test_a_distillation_changes_the_settings_of_the_tasks_own_file(write):
    path = write({"steps": [{"distil": {"world_steps": 7, "size_changes": {"latent": 16}}}]})
    (step,) = load_recipe(path, "reach").single.steps
    assert step.config.world_steps == 7
    assert step.config.size_changes["latent"] == 16
    assert step.config.joints_weight == 8.0  # of reach.yaml


def test_a_choice_anywhere_stands_for_several_recipes(write):
    steps = [
        {"choose": [None, {"prune": {"ratio": {"choose": [0.3, 0.5]}}}]},
        {"planner": {"candidates": {"choose": [64, 512]}}},
    ]
    several = load_recipe(write({"steps": steps}), "reach")
    labels = [recipe.label for recipe in several.recipes]
    assert len(set(labels)) == 6
    assert [len(recipe.steps) for recipe in several.recipes] == [1, 1, 2, 2, 2, 2]
    assert labels[-1].endswith("1.prune.ratio=0.5, 2.planner.candidates=512"), labels
    with pytest.raises(SdiwmError, match="leaves 6 recipes to choose from: say by what with"):
        _ = several.single


def test_without_a_choice_there_is_one_reading():
    content = {"a": [1, {"b": None}], "c": "x"}
    assert alternatives(content) == [(content, {})]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("steps: [", "cannot be read"),
        ("[]", "a recipe has the field 'steps'"),
        ("formats: [cpp]", "a recipe has the field 'steps'"),
        ("{steps: [], stepz: []}", "unknown field 'stepz'"),
        ("steps: prune", "'steps' and 'formats' are lists"),
        ("steps: [melt]", "there is no step 'melt': choose from distil, prune"),
        ("steps: [prune: 0.5]", "step 'prune': write settings"),
        ("steps: [{prune: {}, distil: {}}]", "write its name and settings"),
        ("steps: [prune: {ration: 0.5}]", "unknown setting 'ration': did you mean 'ratio'"),
        ("steps: [prune: {ratio: much}]", "setting 'ratio' is 'much'"),
        ("steps: [prune: {ratio: 1.5}]", "'ratio' is 1.5: use 0 to below 1"),
        ("steps: [distil: {world_stps: 5}]", "unknown setting 'world_stps': did you mean"),
        ("steps: [distil: {size: huge}]", "unknown model size 'huge'"),
        ("steps: [fine_tune: {updates: 0}]", "'updates' is 0: use 1 or more"),
        ("steps: [planner: {horizon: 0}]", r"planner.horizon is 0"),
        ("{steps: [], formats: [tarball]}", "format 'tarball' is unknown"),
        ("{steps: [], search: {share: 2}}", "'share' is 2"),
        ("steps: [prune: {ratio: {choose: []}}]", "'choose' under '1.prune.ratio' needs a list"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_field(write, content, sentence):
    with pytest.raises(SdiwmError, match=sentence) as caught:
        load_recipe(write(content), "reach")
    assert str(caught.value).startswith(write(content))


def test_an_unknown_recipe_is_refused_with_those_that_there_are():
    with pytest.raises(SdiwmError, match=r"--recipe nothing is unknown: .*deploy"):
        load_recipe("nothing", "reach")
    with pytest.raises(SdiwmError, match="is no file"):
        load_recipe("nothing.yaml", "reach")


def test_what_comes_out_is_known_before_anything_runs(write):
    steps = [{"prune": {"ratio": 0.5}}, {"planner": {"candidates": 64}}]
    recipe = load_recipe(write({"steps": steps, "formats": ["cpp"]}), "reach").single
    after = recipe.foresee(foreseen("full"))
    assert (after.sizes.latent, after.sizes.dynamics) == (128, 128)
    assert after.planner.candidates == 64


@pytest.mark.parametrize(
    ("steps", "size", "calibrated", "sentence"),
    [
        ([{"prune": {"ratio": 0.99}}], "student_64", True, "leaves none of the 16 units of 'chan"),
        ([{"prune": {}}], "teacher_s", True, "cannot be pruned"),
        (["fine_tune"], "teacher_s", True, "the dynamics of the run is a transformer"),
        (["fine_tune"], "student_64", False, "holds no calibration.safetensors"),
        ([], "student_64", False, "holds no calibration.safetensors"),
        ([], "teacher_s", True, "format 'cpp': the dynamics of the run is a transformer"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_runs(
    write, steps, size, calibrated, sentence
):
    recipe = load_recipe(write({"steps": steps, "formats": ["cpp"]}), "reach").single
    with pytest.raises(SdiwmError, match=sentence):
        recipe.foresee(foreseen(size, calibrated))


def test_a_shorter_recipe_has_a_share_of_the_updates_and_at_least_one(write):
    steps = [
        {"distil": {"world_steps": 1000, "vision_steps": 2, "language_steps": 0}},
        {"fine_tune": {"updates": 8}},
    ]
    distil, tune = (
        step.shortened(0.25) for step in load_recipe(write({"steps": steps}), "reach").single.steps
    )
    assert (distil.config.world_steps, distil.config.vision_steps) == (250, 1)
    assert distil.config.language_steps == 0
    assert tune.updates == 2


def test_data_of_another_task_is_refused_by_its_name(random_bundle, small_data, tmp_path):
    assert Source(random_bundle, (small_data,), 0).foreseen().data is not None
    manifest, other = read_manifest(random_bundle), tmp_path / "other"
    other.mkdir()

    def refused(sentence, **changes):
        write_manifest(other, replace(manifest, **changes))
        with pytest.raises(SdiwmError, match=sentence):
            Source(other, (small_data,), 0).foreseen()

    refused("is a model of task 'push', the data holds 'reach'", task="push")
    refused("the data has goals .*'red'.*model of goals", goals=("a", "b", "c", "d"))
    refused("has dt 0.04, but .* is a model of dt 0.1", dt=0.1)
    sizes = replace(manifest.sizes, action=3)
    refused("the data has action 4, but .* is a model of action 3", sizes=sizes)
