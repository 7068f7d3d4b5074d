"""What the data, the weights to start from and the settings must agree on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.shards import ShardWriter
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size
from sdiwm_model.training.checks import check_initial, check_start, open_data, size_for
from sdiwm_model.training.config import configure

REACH = {"name": "reach", "dt": 0.04, "goals": ["red", "green"], "goal_modality": "words"}
SPEC = EpisodeSpec(image=(64, 64, 6), proprio=4, action=2, goals=2, state=5, task=REACH)


def collected(folder, spec, episodes=1):
    def numbers(*shape):
        return np.zeros((3, *shape), np.float32)

    with ShardWriter(folder, spec, {}) as writer:
        for seed in range(episodes):
            writer.write(
                Episode(
                    frames=np.zeros((3, *spec.image), np.uint8),
                    proprio=numbers(spec.proprio),
                    action=numbers(spec.action),
                    goal_cost=numbers(spec.goals),
                    state=numbers(spec.state),
                    instruction="touch red",
                    goal=0,
                    behaviour="random",
                    seed=seed,
                )
            )
    return folder


def test_one_size_serves_the_widths_of_any_data():
    size = size_for(configure(["size=student_64"]), SPEC)
    assert (size.cameras, size.proprio, size.action, size.goals, size.state) == (2, 4, 2, 2, 5)
    blind = replace(SPEC, proprio=0, goals=1, task={"goal_modality": "image"})
    size = size_for(configure(["size=student_64"]), blind)
    assert (size.proprio, size.goals, size.goal_image) == (0, 1, True)


def test_changes_lie_on_top_of_a_named_size():
    changes = ["size.latent=16", "size.lipschitz=0.95", "size.channels=[8,8]", "size.frames=2"]
    size = size_for(configure(["size=miniature", *changes]), SPEC)
    assert (size.latent, size.lipschitz, size.channels, size.frames) == (16, 0.95, (8, 8), 2)
    assert size.keypoints == find_size("miniature").keypoints


def test_many_goals_fit_once_the_conditioning_is_wide_enough():
    many = replace(SPEC, goals=20)
    with pytest.raises(SdiwmError, match="conditioning"):
        size_for(configure([]), many)
    assert size_for(configure(["size.conditioning=32"]), many).goals == 20


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("size.latnet=16", "unknown setting 'latnet': did you mean 'latent'"),
        ("size.latent=wide", "'latent' is 'wide': use a whole number"),
        ("size.latent=17", "'latent' is 17: use a multiple"),
        ("size.channels=8", "'channels' is 8: use two whole numbers"),
        ("size.proprio=8", "'size.proprio' is 8, but the data has 4: set size.proprio=4"),
        ("size.action=3", "'size.action' is 3, but the data has 2"),
        ("size.goals=4", "'size.goals' is 4, but the data has 2"),
        ("size.state=1", "'size.state' is 1, but the data has 5"),
        ("size.cameras=1", "'size.cameras' is 1, but the data has 2"),
        ("size.goal_image=true", "'size.goal_image' is True, but the data has False"),
        ("size=student_96", "'size.image_size' is 96, but the data has 64: set size.image_size=64"),
    ],
)
def test_a_size_that_the_data_contradicts_is_refused_by_name(setting, said):
    with pytest.raises(SdiwmError, match=said):
        size_for(configure([setting]), SPEC)


def test_pictures_that_are_not_square_are_refused():
    with pytest.raises(SdiwmError, match="80 x 64 pixels: collect square ones"):
        size_for(configure([]), replace(SPEC, image=(64, 80, 3)))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"task": REACH | {"name": "push"}}, "holds task 'push', .* holds 'reach': train on one"),
        ({"task": REACH | {"dt": 0.1}}, "holds the task's dt 0.1, .* holds 0.04"),
        ({"task": REACH | {"goals": ["up", "down"]}}, "holds the task's goals"),
        ({"proprio": 6}, "has other shapes"),
        ({"image": (96, 96, 6)}, "has other shapes"),
    ],
)
def test_folders_of_different_data_are_refused(tmp_path, other, said):
    first = collected(tmp_path / "first", SPEC)
    second = collected(tmp_path / "second", replace(SPEC, **other))
    assert len(open_data([first, first])) == 2
    with pytest.raises(SdiwmError, match=said):
        open_data([first, second])


def test_a_folder_without_episodes_is_refused(tmp_path):
    with pytest.raises(SdiwmError, match="holds no episodes: collect some"):
        open_data([collected(tmp_path / "none", SPEC, episodes=0)])


def test_an_untrained_image_branch_needs_weights_to_start_from():
    config = configure(["vision_steps=0"])
    size = size_for(config, SPEC)
    check_start(config, size, Path("bundle"))
    with pytest.raises(SdiwmError, match="'vision_steps' is 0, .* --init"):
        check_start(config, size, None)


def test_a_prior_and_the_plans_that_it_imitates_need_each_other():
    def start(*settings, init=None):
        config = configure(settings)
        check_start(config, size_for(config, SPEC), init)

    start("size.prior=16", "prior_plans=5")
    start("size.prior=16", init=Path("bundle"))
    with pytest.raises(SdiwmError, match="'prior_plans' is 5, but the model has no prior: set"):
        start("prior_plans=5")
    with pytest.raises(SdiwmError, match="'size.prior' is 16, but 'prior_plans' is 0, .*: set"):
        start("size.prior=16")


def test_only_keypoints_of_one_camera_can_be_drawn():
    def start(spec, *settings):
        config = configure(["picture_weight=1", *settings])
        check_start(config, size_for(config, spec), None)

    one_camera = replace(SPEC, image=(64, 64, 3))
    start(one_camera)
    for spec, size in ((one_camera, "student_mobilenet_64"), (SPEC, "student_64")):
        with pytest.raises(SdiwmError, match="'picture_weight' is 1.0, but only keypoints of one"):
            start(spec, f"size={size}")


def test_weights_of_another_task_or_width_are_refused_by_name():
    size = size_for(configure([]), SPEC)
    origin = Manifest("reach", "student_64", size, 0.04, ("red", "green"), (1.0, 1.0),
                      PlannerSettings(), {})  # fmt: skip
    check_initial(origin, Path("bundle"), size, REACH)
    with pytest.raises(SdiwmError, match="bundle is a model of task 'reach', the data .* 'push'"):
        check_initial(origin, Path("bundle"), size, REACH | {"name": "push"})
    with pytest.raises(SdiwmError, match=r"'size.latent' is 16, but bundle has 32"):
        check_initial(origin, Path("bundle"), replace(size, latent=16), REACH)
    check_initial(origin, Path("bundle"), replace(size, prior=16, plan_horizon=8), REACH)
    with pytest.raises(SdiwmError, match=r"set size.channels=\[16,16\]"):
        check_initial(origin, Path("bundle"), replace(size, channels=(8, 8)), REACH)
