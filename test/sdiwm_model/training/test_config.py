"""Settings come from files and the command line; what makes no sense is refused by name."""

import re
from dataclasses import asdict, fields

import pytest
import yaml

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.share import share_file
from sdiwm_model.training.config import DEFAULT, TrainingConfig, configure

FOLDER = share_file(DEFAULT).parent


def test_the_default_file_sets_and_explains_every_setting_and_no_other():
    text = share_file(DEFAULT).read_text()
    content = yaml.safe_load(text)
    assert set(content) == {f.name for f in fields(TrainingConfig)}
    assert content["planner"] == asdict(PlannerSettings())
    settings = [line for line in text.splitlines() if re.match(r"(  )?\w+: ", line)]
    assert all(re.fullmatch(r" *\w+: .+ # .{10,}", line) for line in settings), settings


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_a_configuration(path):
    assert configure(task=path.stem) == configure(file=path)


def test_a_task_without_a_file_of_its_own_gets_the_defaults():
    assert configure(task="somebody_elses") == configure()


def test_settings_have_the_last_word_over_a_file_and_a_file_over_the_task(tmp_path):
    file = tmp_path / "my file's.yaml"
    file.write_text("horizon: 5\nworld_steps: 7\nsize_changes: {latent: 48}\n")
    config = configure(["horizon=6", "size=miniature", "size.head=16"], "push", file)
    assert (config.horizon, config.world_steps, config.size) == (6, 7, "miniature")
    task = configure(task="push")
    assert config.size_changes == task.size_changes | {"latent": 48, "head": 16}
    assert config.elsewhere_span == task.elsewhere_span != configure().elsewhere_span


def test_a_file_may_name_the_file_that_it_builds_on(tmp_path):
    (tmp_path / "base.yaml").write_text("defaults: [default, _self_]\nhorizon: 3\n")
    (tmp_path / "mine.yaml").write_text("defaults: [base, _self_]\nworld_steps: 4\n")
    config = configure(file=tmp_path / "mine.yaml")
    assert (config.horizon, config.world_steps) == (3, 4)


def test_what_is_written_reads_back_the_same(tmp_path):
    config = configure(["size.channels=[8,8]", "vision_learning_rate=1e-5", "wandb=offline"])
    config.write(tmp_path / "config.yaml")
    assert configure(task="reach_goal_image", file=tmp_path / "config.yaml") == config


def test_off_is_a_word_however_yaml_reads_it():
    assert configure(["wandb=off"]).wandb == "off"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("horizons=3", "unknown setting 'horizons': did you mean 'horizon'"),
        ("horizon", "--set horizon: write NAME=VALUE"),
        ("horizon=[1", "--set horizon=.1 cannot be read"),
        ("horizon=many", "'horizon' is 'many': use a whole number"),
        ("horizon=1.5", "'horizon' is 1.5: use a whole number"),
        ("drift_weight=much", "'drift_weight' is 'much': use a number"),
        ("size_changes=3", "'size_changes' is 3: use fields"),
        ("long_horizon=${nothing}", "'long_horizon' .*nothing"),
        ("size=huge", "unknown model size 'huge': choose one of .*student_64"),
        ("world_batch=1", "'world_batch' is 1: use >= 2"),
        ("vision_batch=0", "'vision_batch' is 0: use >= 2"),
        ("horizon=0", "'horizon' is 0: use >= 1"),
        ("save_every=0", "'save_every' is 0: use >= 1"),
        ("drift_weight=-1", "'drift_weight' is -1.0: use >= 0"),
        ("drift_weight=nan", "'drift_weight' is nan"),
        ("drift_weight=inf", "'drift_weight' is inf"),
        ("discount=1", "'discount' is 1.0: use 0 to below 1"),
        ("discount=-0.1", "'discount' is -0.1"),
        ("long_horizon=2", "'long_horizon' is 2, shorter than 'horizon', which is 16"),
        ("prior_steps=0", "'prior_steps' is 0: use >= 1"),
        ("curriculum=2", "'curriculum' is 2.0: use >= 0 and <= 1"),
        ("drift_discount=1.5", "'drift_discount' is 1.5: use >= 0 and <= 1"),
        ("wandb=on", "'wandb' is 'True': use one of off, offline, online"),
        ("anti_collapse=hope", "'anti_collapse' is 'hope': use one of vicreg, sigreg"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting, said):
    with pytest.raises(SdiwmError, match=said):
        configure([setting])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", "horizons: 3\n", "a.yaml: unknown setting 'horizons'"),
        ("a.yaml", "horizon: many\n", "a.yaml: setting 'horizon' is 'many': use a whole number"),
        ("a.yaml", "- horizon\n", "a.yaml cannot be read"),
        ("a.yaml", "horizon: [\n", "a.yaml cannot be read"),
        ("a.yaml", "defaults: [pushy]\n", "a.yaml cannot be read .*pushy"),
        ("a.txt", "horizon: 3\n", "name a .yaml file"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(SdiwmError, match=said):
        configure(file=tmp_path / name)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(SdiwmError, match=r"none\.yaml is no configuration"):
        configure(file=tmp_path / "none.yaml")


@pytest.mark.parametrize(("horizon", "named"), [(10, "long_horizon"), (14, "horizon")])
def test_rollouts_longer_than_the_episodes_are_refused_by_name(horizon, named):
    config = configure([f"horizon={horizon}", "long_horizon=14"])
    config.check_against(16)
    with pytest.raises(SdiwmError, match=f"'{named}' is 14, .* 15 model steps: use at most 13"):
        config.check_against(15)


def test_a_resumed_run_may_change_rates_and_logging_alone():
    free = ["vision_learning_rate=1", "world_learning_rate=1", "save_every=1", "wandb=online"]
    assert configure(free).identity() == configure().identity()
    assert configure(["world_steps=1"]).identity() != configure().identity()


def test_the_planner_of_the_bundle_is_set_field_by_field():
    config = configure(["planner.horizon=32", "planner.use_prior=false"])
    assert config.planner == PlannerSettings(horizon=32, use_prior=False)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("planner.horizon=0", "planner.horizon is 0"),
        ("planner.horizn=3", "unknown setting 'horizn'"),
        ("planner.sigma=wide", "setting 'planner'"),
        ("planner=3", "setting 'planner' is 3"),
    ],
)
def test_a_planner_that_cannot_be_is_refused(setting, said):
    with pytest.raises(SdiwmError, match=said):
        configure([setting])
