"""A student learns what its teacher knows, whoever the teacher is, and from no stranger."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from sdiwm_model.checkpoint import WEIGHTS, load_model, save_weights, write_manifest
from sdiwm_model.compression.candidate_sets import plan_cost, propose_sets
from sdiwm_model.compression.distil import distil
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import read_calibration
from sdiwm_model.losses import ranking_loss, unexplained_share
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.torch import TorchDynamics
from sdiwm_model.sizes import find_size
from sdiwm_model.training.config import Distillation, configure
from sdiwm_model.training.run import train
from sdiwm_model.world_model import WorldModel

TERMS = {
    "vision/features": 160,
    "world/latents": 80,
    "world/rollouts": 80,
    "world/ranking": 80,
    "world/imitation": 80,
}


class KilledError(Exception):
    """Stands for SIGKILL at a chosen update."""


@pytest.fixture(autouse=True)
def short_probe(monkeypatch):
    """No test here reads the probe."""
    monkeypatch.setattr("sdiwm_model.training.finish.PROBE_STEPS", 2)


@pytest.fixture(scope="module")
def teachers(small_data, tmp_path_factory):
    """Runs of a wide GRU, and of a vision transformer with a transformer that sees two frames."""
    folder = tmp_path_factory.mktemp("teachers")
    common = [
        "language_steps=0",
        "vision_steps=40",
        "world_steps=60",
        "vision_batch=16",
        "world_batch=16",
        "horizon=4",
        "long_horizon=6",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sdiwm_model.training.finish.PROBE_STEPS", 2)
        for size, frames in (("miniature", 1), ("miniature_teacher", 2)):
            own = [f"size={size}", "size.latent=64", f"size.frames={frames}"]
            config = configure([*own, *common])
            train([small_data], folder / size, config, seed=5)
    return folder


@pytest.fixture
def settings(miniature):
    """Of a student with a prior, and of a teacher that is asked little and weighs much."""
    weights = {f"{name}_weight": 1.0 for name in ("features", "latents", "rollouts")}
    asked = Distillation(
        **weights, ranking_weight=0.3, plans=20, iterations=2, searched=16, ranked=8, sets=4,
        batch=8,
    )  # fmt: skip
    sizes = {"prior": 16, "plan_horizon": 6}
    planner = replace(miniature.planner, horizon=5)
    return replace(miniature, distillation=asked, size_changes=sizes, planner=planner)


@pytest.mark.parametrize("size", ["miniature", "miniature_teacher"])
def test_any_teacher_teaches_a_student_whose_run_is_like_any_other(
    teachers, small_data, settings, tmp_path, scalars, size
):
    about = distil(teachers / size, [small_data], tmp_path / "run", settings, seed=0)
    student, manifest = load_model(tmp_path / "run")
    calibration, _ = read_calibration(tmp_path / "run")
    assert calibration.latents.shape[1] == student.size.latent == 32
    assert about["of"] == load_model(teachers / size)[1].model_hash
    assert manifest.provenance["distil"] == about
    assert about["settings"]["plans"] == 20
    assert -1 <= about["agreement"]["rank_correlation"] <= 1
    logged = {name for name, _ in scalars(tmp_path / "run")}
    assert {*TERMS, "world/rank_correlation", "world/drift", "vision/places"} <= logged


def test_a_student_comes_to_know_what_its_teacher_knows(
    teachers, small_data, settings, tmp_path, scalars, monkeypatch
):
    def by_goal(model, latents, codes, *settings, **options):
        sets = propose_sets(model, latents, codes, *settings, **options)
        return replace(sets, plans=codes[:, None, :4].repeat(1, 5, 1))

    monkeypatch.setattr("sdiwm_model.compression.guided_stages.propose_sets", by_goal)
    rates = {"vision_learning_rate": 5e-3, "world_learning_rate": 1e-2}
    longer = replace(settings, vision_steps=161, vision_batch=64, world_steps=81, **rates)
    distil(teachers / "miniature", [small_data], tmp_path, longer, seed=0)
    values = scalars(tmp_path)
    for name, last in TERMS.items():
        assert values[name, last] < 0.85 * values[name, 0], name


def test_a_killed_distillation_goes_on_to_the_same_weights(
    teachers, small_data, settings, tmp_path
):
    def kill(stage, done):
        if (stage, done) == ("world", 13):
            raise KilledError

    teacher, updates = teachers / "miniature", []
    distil(teacher, [small_data], tmp_path / "whole", settings, seed=3)
    with pytest.raises(KilledError):
        distil(teacher, [small_data], tmp_path / "broken", settings, seed=3, after_update=kill)
    distil(
        teacher,
        [small_data],
        tmp_path / "broken",
        settings,
        seed=3,
        after_update=lambda stage, done: updates.append((stage, done)),
    )
    assert updates[0] == ("world", 11)
    whole, broken = (load_model(tmp_path / each)[0].state_dict() for each in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    with pytest.raises(SdiwmError, match="another teacher"):
        distil(teachers / "miniature_teacher", [small_data], tmp_path / "whole", settings, seed=3)
    with pytest.raises(SdiwmError, match="another .*teacher"):
        train([small_data], tmp_path / "whole", replace(settings, prior_plans=1), seed=3)


def test_terms_of_weight_0_are_not_computed(
    teachers, small_data, settings, tmp_path, monkeypatch, scalars
):
    only = replace(
        settings.distillation, features_weight=0, ranking_weight=0, latents_weight=0, prior_weight=0
    )
    config = replace(settings, distillation=only, size_changes={})
    distil(teachers / "miniature", [small_data], tmp_path, config, seed=0)
    logged = {name for name, _ in scalars(tmp_path)}
    assert "world/rollouts" in logged
    assert logged.isdisjoint({"vision/features", "world/ranking", "world/imitation"})


def changed_teacher(source, folder, **facts):
    """A copy of a run whose manifest says something else."""
    model, manifest = load_model(source)
    save_weights(folder / WEIGHTS, model)
    write_manifest(folder, replace(manifest, **facts))
    return folder


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"task": "push"}, "is a model of task 'push', the data holds 'reach'"),
        ({"goals": ("one", "two", "three", "four")}, "the data has goals "),
        ({"action_limit": (1.0,) * 4}, "the data has action_limit "),
        ({"dt": 0.1}, "the data has dt 0.04, but "),
    ],
)
def test_a_teacher_of_something_else_is_refused_before_anything_is_written(
    teachers, small_data, settings, tmp_path, facts, sentence
):
    stranger = changed_teacher(teachers / "miniature", tmp_path / "stranger", **facts)
    with pytest.raises(SdiwmError, match=re.escape(sentence)):
        distil(stranger, [small_data], tmp_path / "out", settings, seed=0)
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_moves_another_number_of_joints_is_refused(
    teachers, small_data, settings, tmp_path
):
    _, manifest = load_model(teachers / "miniature")
    model = WorldModel(replace(find_size("miniature"), action=6))
    (tmp_path / "six").mkdir()
    save_weights(tmp_path / "six" / WEIGHTS, model)
    write_manifest(tmp_path / "six", replace(manifest, sizes=model.size))
    with pytest.raises(SdiwmError, match="the data has action 4, but .* is a model of action 6"):
        distil(tmp_path / "six", [small_data], tmp_path / "out", settings, seed=0)


def test_a_teacher_with_a_weight_that_is_no_number_is_refused(
    teachers, small_data, settings, tmp_path
):
    model, manifest = load_model(teachers / "miniature")
    with torch.no_grad():
        model.dynamics.input.weight[3, 2] = torch.nan
    save_weights(tmp_path / "sick" / WEIGHTS, model)
    write_manifest(tmp_path / "sick", manifest)
    with pytest.raises(SdiwmError, match=r"not finite, in dynamics\.input\.weight"):
        distil(tmp_path / "sick", [small_data], tmp_path / "out", settings, seed=0)


def test_a_distillation_without_a_loss_or_onto_the_teacher_is_refused(
    teachers, small_data, settings, tmp_path
):
    teacher = teachers / "miniature"
    with pytest.raises(SdiwmError, match="is the teacher: name another folder"):
        distil(teacher, [small_data], teacher, settings, seed=0)
    nothing = Distillation(
        features_weight=0, latents_weight=0, rollouts_weight=0, ranking_weight=0, prior_weight=0
    )
    with pytest.raises(SdiwmError, match="leaves nothing to learn from the teacher"):
        distil(teacher, [small_data], tmp_path, replace(settings, distillation=nothing), seed=0)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("distillation.plans=1", "'distillation.plans' is 1: use >= 2"),
        ("distillation.ranking_weight=-1", "'distillation.ranking_weight' is -1.0: use >= 0"),
        ("distillation.ranked=500", "only 'distillation.searched' = 128 candidates are there"),
        ("distillation=3", "setting 'distillation' is 3: use the distillation's settings"),
        ("distillation.temperature=1", "unknown setting 'temperature'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(setting, sentence):
    with pytest.raises(SdiwmError, match=re.escape(sentence)):
        configure([setting])


def test_the_cost_of_a_candidate_is_the_planners(teachers):
    model, _ = load_model(teachers / "miniature")
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, 64).astype(np.float32)
    c = rng.uniform(-1, 1, 16).astype(np.float32)
    actions = rng.uniform(-1, 1, (7, 5, 4)).astype(np.float32)
    planners = TorchDynamics(model).rollout_cost(z, actions, c, value_weight=0.7)
    many = (torch.from_numpy(x).expand(7, -1) for x in (z, c))
    start, goal = many
    with torch.no_grad():
        ours = plan_cost(model, start, torch.from_numpy(actions), goal, 0.7)
    np.testing.assert_allclose(ours, planners, rtol=1e-5)


def test_sets_hold_what_the_planner_tried_with_its_costs(teachers):
    model, _ = load_model(teachers / "miniature")
    torch.manual_seed(0)
    z, c = torch.rand(3, 64) - 0.5, torch.rand(3, 16) - 0.5
    asked = Distillation(plans=3, iterations=2, searched=10, ranked=10)
    planner = PlannerSettings(horizon=5, value_weight=0.5)
    sets = propose_sets(model, z, c, planner, asked, 4, report=lambda: None)
    assert sets.actions.shape == (3, 2, 10, 5, 4)
    for plan in range(3):
        for turn in range(2):
            costs = TorchDynamics(model).rollout_cost(
                z[plan].numpy(), sets.actions[plan, turn].numpy(), c[plan].numpy(), 0.5
            )
            np.testing.assert_allclose(sets.costs[plan, turn], costs, rtol=1e-5)
    assert sets.costs[:, 1].mean() < sets.costs[:, 0].mean()


def test_the_ranking_loss_is_0_where_the_planner_would_make_the_same_plan():
    rng = np.random.default_rng(0)
    costs = torch.from_numpy(rng.uniform(3, 9, (2, 20)).astype(np.float32))
    assert ranking_loss(costs + 5.0, costs, 0.1, 0.02).item() == pytest.approx(0, abs=1e-5)
    assert ranking_loss(costs.flip(1), costs, 0.1, 0.02) > 1


def test_the_ranking_loss_weights_candidates_as_the_planner_does():
    rng = np.random.default_rng(1)
    true, costs = rng.uniform(3, 9, (2, 1, 20)).astype(np.float32)
    planner = Mppi(None, PlannerSettings(temperature=0.3), seed=0)
    corners = np.eye(20, dtype=np.float32).reshape(20, 1, 20)
    weights = planner._weighted_mean(corners, true[0])[0]
    scale = 0.3 * float(true.mean() - true.min())
    logits = torch.log_softmax(torch.from_numpy(-costs[0] / scale), 0).numpy()
    expected = scale * float((weights * (np.log(weights) - logits)).sum())
    loss = ranking_loss(torch.from_numpy(costs), torch.from_numpy(true), 0.3, 0.02)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_a_constant_explains_nothing_and_the_truth_everything():
    target = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)) * 3 + 7
    variance = target.var(dim=0)
    mean = target.mean(dim=0).expand_as(target)
    assert unexplained_share(mean, target, variance).item() == pytest.approx(1, abs=1e-3)
    assert unexplained_share(target, target, variance) == 0
