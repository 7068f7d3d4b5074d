from dataclasses import replace

import numpy as np
import pytest

from sdiwm_model.compression.activations import Rollouts, float_head
from sdiwm_model.compression.fixed_point import latent_to_q15
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.ranges import Ranges
from sdiwm_model.errors import SdiwmError

torch = pytest.importorskip("torch")

from sdiwm_model.compression.fake_quantised import FakeQuantised  # noqa: E402
from sdiwm_model.compression.fine_tune import Teacher, fine_tune, unrolled_loss  # noqa: E402

UPDATES = 24


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def coarse(float_weights):
    """Weights of which a few are so heavy that their rows are left with few bits."""
    weights = {name: w.copy() for name, w in float_weights.items()}
    weights["dynamics.gru_input.weight"][::3, 5] *= 12
    weights["dynamics.input.weight"][::4, 7] *= 6
    return weights


@pytest.fixture(scope="module")
def tuned(coarse, calibration):
    losses = []
    weights, engine = fine_tune(
        coarse, calibration, Ranges(), UPDATES, 0, after_update=lambda _, loss: losses.append(loss)
    )
    return weights, engine, losses


def test_the_engine_does_what_the_fake_quantised_model_does(tuned, coarse, calibration):
    weights, engine, _ = tuned
    teacher = Teacher.of(coarse, calibration, 0)
    fake = FakeQuantised(weights, teacher.activations(coarse), Ranges())
    some = Rollouts.draw(calibration, 3).some(slice(0, None, 4))
    integers = some.by_integers(engine)[1:].swapaxes(0, 1)
    with torch.no_grad():
        units = fake.units()
        arrays = (some.starts, some.actions, some.conditionings)
        z, actions, c = (torch.from_numpy(array) for array in arrays)
        path = fake.rollout(units, z, actions, c).numpy()
        cost = fake.head(units, "cost", torch.from_numpy(integers[:, 4]), c).numpy()
    assert np.abs(path[:, 0] - integers[:, 0]).max() < 0.02  # where a sum lies on an edge
    assert np.sqrt(np.square(path[:, 0] - integers[:, 0]).mean()) < 0.0015
    assert np.sqrt(np.square(path[:, :8] - integers[:, :8]).mean()) < 0.004  # half a step of 1/128
    model = IntegerModel(engine)
    for row in range(3):
        goal = model.goal(some.conditionings[row])
        own = model.cost(goal, latent_to_q15(integers[row : row + 1, 4]))
        assert own[0] * float(engine.goal.cost_unit) == pytest.approx(cost[row], abs=0.02)


def test_the_loss_falls_and_the_integers_come_closer(tuned, coarse, calibration):
    weights, engine, _ = tuned
    teacher = Teacher.of(coarse, calibration, 0)
    seen = teacher.activations(coarse)

    def loss(model):
        fake = FakeQuantised(model, seen, Ranges())
        draws = [np.random.default_rng([9, i]) for i in range(4)]
        with torch.no_grad():
            return np.mean([float(unrolled_loss(fake, teacher, rng)) for rng in draws])

    started, _ = fine_tune(coarse, calibration, Ranges(), 0, 0)
    assert loss(weights) < 0.9 * loss(started)
    assert loss(started) < loss(coarse)


def test_a_stopped_run_ends_where_a_whole_one_does(tuned, coarse, calibration, tmp_path):
    def stop(done, loss):
        if done == 13:
            raise StoppedError

    options = {"updates": UPDATES, "seed": 0, "folder": tmp_path, "save_every": 10}
    with pytest.raises(StoppedError):
        fine_tune(coarse, calibration, Ranges(), **options, after_update=stop)
    seen = []
    weights, _ = fine_tune(
        coarse, calibration, Ranges(), **options, after_update=lambda done, _: seen.append(done)
    )
    assert seen[0] == 11
    for name, value in tuned[0].items():
        np.testing.assert_array_equal(weights[name], value, err_msg=name)
    with pytest.raises(SdiwmError, match="another seed"):
        fine_tune(coarse, calibration, Ranges(), **(options | {"seed": 1}))


def test_the_teacher_is_the_float_model(float_weights, calibration):
    teacher = Teacher.of(float_weights, replace(calibration, actions=calibration.actions[:, :2]), 0)
    z, c = teacher.visited[1], teacher.rollouts.conditionings
    expected = float_head(float_weights, "cost", z, c)
    np.testing.assert_allclose(teacher.heads["cost"][1], expected, atol=1e-5)
