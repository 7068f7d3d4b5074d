"""The arm driven through an emulated chip, in lockstep, moves as it does with the host's engine."""

import shutil

import numpy as np
import pytest

from sdiwm_model.compression.fixed_point import latent_from_q15
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import complete_bundle
from sdiwm_model.export.encoder import IntegerSight
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.mcu import McuRuntime
from sdiwm_sim.closed_loop import ModelController
from sdiwm_sim.task import make_task

SETTINGS = PlannerSettings(candidates=6, horizon=3)
TICKS = 60


@pytest.fixture(scope="module")
def chip(random_bundle):
    runtime = load_runtime(random_bundle, "mcu", port="pil")
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def seeing_bundle(random_bundle, tmp_path_factory):
    """The same with an encoder for the chip."""
    folder = tmp_path_factory.mktemp("seeing") / "bundle"
    shutil.copytree(random_bundle, folder)
    task = make_task("reach")
    pictures = []
    for seed in range(4):
        task.reset(seed)
        pictures.append(task.render(64))
    examples = folder.parent / "examples.npz"
    np.savez(examples, image=pictures)
    complete_bundle(folder, examples)
    return folder


@pytest.fixture(scope="module")
def seeing_chip(seeing_bundle):
    runtime = load_runtime(seeing_bundle, "mcu", port="pil")
    yield runtime
    runtime.close()


class ReferenceObserver:
    """What the chip defines itself by, in numpy."""

    def __init__(self, contents):
        self.sight = IntegerSight(contents.encoder, contents.model)
        self.model = IntegerModel(contents.model)

    def see(self, image):
        self.sight.see(image)
        return 0.0

    def latent(self, proprio):
        return latent_from_q15(self.model.fuse(self.sight.fusion_inputs(proprio)))


def driven(runtime):
    """Joint states of the first ticks of an episode, and the own times of plans and pictures."""
    task = make_task("reach")
    controller = ModelController(runtime, SETTINGS)
    task.reset(5)
    controller.begin(task, 5)
    states = []
    for _ in range(TICKS):
        task.step(controller.act(task))
        states.append(task.proprio())
    return np.array(states), controller.timings


def test_an_episode_on_the_chip_is_that_of_the_host(chip, random_bundle):
    states, times = driven(chip)
    expected, _ = driven(load_runtime(random_bundle, "native"))
    np.testing.assert_array_equal(states, expected)
    again, repeated = driven(chip)
    np.testing.assert_array_equal(again, states)
    assert len(times.plan_ms) > 1
    # instructions, not this machine's time
    np.testing.assert_allclose(repeated.plan_ms, times.plan_ms, rtol=0.02)


def test_from_picture_to_action_the_chip_drives_as_the_reference_does(seeing_chip, monkeypatch):
    before = seeing_chip.link.read_statistics()
    states, times = driven(seeing_chip)
    after = seeing_chip.link.read_statistics()
    host = load_runtime(seeing_chip.folder, "native")
    by_floats, _ = driven(host)
    contents = seeing_chip.contents
    monkeypatch.setattr(host, "make_observer", lambda: ReferenceObserver(contents))
    expected, _ = driven(host)
    np.testing.assert_array_equal(states, expected)
    assert not np.array_equal(states, by_floats)  # the host's own sight has other roundings
    assert len(times.encode_ms) == 9  # 30 a second
    np.testing.assert_allclose(times.encode_ms, times.encode_ms[0], rtol=0.02)
    assert after["pictures"] - before["pictures"] == 9
    assert after["plans"] - before["plans"] == TICKS


def test_the_firmware_on_this_machine_drives_as_the_chip_does(seeing_chip):
    states, _ = driven(seeing_chip)
    runtime = load_runtime(seeing_chip.folder, "mcu", port="sil")
    again, times = driven(runtime)
    runtime.close()
    np.testing.assert_array_equal(again, states)
    assert not any(
        times.plan_ms
    )  # its clock stands still: it says no times, rather than wrong ones


def test_a_restarted_chip_is_shown_the_picture_again(seeing_chip):
    observer = seeing_chip.make_observer()
    rng = np.random.default_rng(0)
    observer.see(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8))
    joints = np.zeros(8, np.float32)
    z = observer.latent(joints)
    seeing_chip.link.greet()  # as after a restart: nothing was seen
    np.testing.assert_array_equal(observer.latent(joints), z)


def test_two_observers_share_the_chip(seeing_chip):
    joints = np.zeros(8, np.float32)
    first, second = seeing_chip.make_observer(), seeing_chip.make_observer()
    first.see(np.zeros((64, 64, 3), np.uint8))
    z = first.latent(joints)
    second.see(np.full((64, 64, 3), 200, np.uint8))
    assert not np.array_equal(second.latent(joints), z)
    np.testing.assert_array_equal(first.latent(joints), z)


def test_a_picture_of_the_wrong_size_is_refused(seeing_chip):
    with pytest.raises(SdiwmError, match=r"takes uint8 \(64, 64, 3\)"):
        seeing_chip.make_observer().see(np.zeros((32, 32, 3), np.uint8))


def test_a_chip_that_was_stopped_is_woken(chip):
    planner = chip.make_planner(SETTINGS, 0)
    z, c = np.zeros(32, np.float32), np.zeros(16, np.float32)
    first = planner.plan(z, c).actions
    chip.link.ask("Stop")
    planner.integers.plan = 0
    np.testing.assert_array_equal(planner.plan(z, c).actions, first)


def test_more_candidates_than_the_firmware_holds_are_refused(chip):
    with pytest.raises(SdiwmError, match="planner.candidates is 512: this firmware takes 64"):
        chip.make_planner(PlannerSettings(candidates=512), 0)


def test_the_default_settings_fit_the_chip(chip):
    planner = chip.manifest.planner
    assert (planner.candidates, planner.horizon) == (32, 4)  # the bundle's own, which are few


def test_a_port_that_is_not_there(random_bundle):
    with pytest.raises(SdiwmError, match="/dev/nothing cannot be opened"):
        McuRuntime(random_bundle, port="/dev/nothing")


def test_an_unknown_board_is_refused(random_bundle):
    with pytest.raises(SdiwmError, match="unknown board 'arduino'"):
        McuRuntime(random_bundle, port="pil:arduino")
