"""The bench of faults itself, on real nodes with the scripted model."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
from sdiwm_model.errors import SdiwmError
from sdiwm_ros.commands import bench_faults
from sdiwm_ros.faults.bed import BedSettings
from sdiwm_ros.faults.cases import Case, Fault
from sdiwm_ros.faults.catalogue import BEDS
from sdiwm_ros.faults.measure import Answer
from sdiwm_ros.faults.run import Runner

FAULTS = {fault.name: fault for _, faults in BEDS.values() for fault in faults}


@pytest.fixture
def runner(scripted, tmp_path):
    with Runner(BedSettings("reach", "", 0, tmp_path), np.random.default_rng(0)) as runner:
        yield runner


def test_faults_are_noticed_stop_the_arm_in_time_and_pass(runner):
    for name in ("camera_lost", "nan_messages", "planner_stalled"):
        trial = runner.trial(FAULTS[name])
        assert trial.detected_at is not None, name
        assert trial.safe, name
        assert trial.stale_actions == 0, name
        assert trial.recovered, name


def test_a_fault_that_nobody_notices_is_told_as_such_and_the_next_trial_begins_well(runner):
    def unnoticed(bed):
        return Case(0.0, lambda: "", lambda: None, lambda bed, since: False)

    def lasting(bed):
        def inject():
            bed.injector.streams["camera/image_raw"].transform = lambda message: None
            return ""

        return Case(0.0, inject, lambda: None, lambda bed, since: True)

    assert runner.trial(Fault("nothing", Answer.STOP, unnoticed)).detected_at is None
    assert not runner.trial(Fault("lasting", Answer.STOP, lasting, recovery=0.5)).recovered
    assert runner.trial(FAULTS["camera_lost"]).recovered


def test_an_unknown_fault_is_refused_in_words():
    with pytest.raises(SdiwmError, match="gremlins"):
        bench_faults._chosen(["gremlins"])
