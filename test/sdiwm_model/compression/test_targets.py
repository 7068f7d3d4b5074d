"""What a size takes on a microcontroller: counted on what is really built and run."""

from dataclasses import replace

import pytest

from sdiwm_model.compression.targets import (
    check_runnable,
    contents_of_size,
    engine_of_size,
    estimate,
    estimate_bundle,
)
from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.boards import RAM_BUDGET, find_board
from sdiwm_model.firmware.memory import memory_of
from sdiwm_model.firmware.program import build_firmware
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size

SMALL = find_size("miniature")
PLAN = PlannerSettings(candidates=8, horizon=3)


@pytest.fixture(scope="module")
def small():
    return contents_of_size(SMALL)


def test_a_small_model_fits_and_its_bytes_are_those_of_its_firmware(small):
    found = estimate(small, "mps2-an500", PLAN)
    memory = memory_of(build_firmware(small, find_board("mps2-an500")))
    assert (found.sram_bytes, found.flash_bytes) == (memory.ram, memory.flash)
    if found.plan_ms is not None:  # llvm-mca is installed
        assert found.fits
        assert found.notes == ()
        assert found.ms_est == found.encode_ms + found.fuse_ms + found.plan_ms
        longer = estimate(small, "mps2-an500", replace(PLAN, horizon=6))
        assert 1.7 * found.plan_ms < longer.plan_ms < 2.1 * found.plan_ms


def test_a_model_beyond_the_budget_is_measured_and_does_not_fit():
    wide = contents_of_size(replace(SMALL, latent=256, dynamics=96))
    found = estimate(wide, "stm32h743", PLAN)
    assert not found.fits
    assert found.sram_bytes > RAM_BUDGET
    assert (
        f"{found.sram_bytes} of {RAM_BUDGET} bytes, of which `sdiwm::dsp::packed`"
        in (found.notes[0])
    )
    assert found.plan_ms is None
    assert "QEMU does not model stm32h743" in found.notes[-1]
    with pytest.raises(SdiwmError, match="exceed"):
        build_firmware(wide, find_board("stm32h743"))


def test_random_engines_are_as_wide_as_their_size():
    size = replace(SMALL, prior=24, ensemble=2)
    q = engine_of_size(size)
    assert q.latent == size.latent
    assert q.plan_horizon == size.plan_horizon
    assert q.macs_per_step == size.macs_per_model_step


@pytest.mark.parametrize(
    ("change", "named"),
    [({"dynamics_kind": "transformer"}, "no attention"), ({"encoder": "vit"}, "vision transf")],
)
def test_an_operator_without_a_kernel_is_named(change, named):
    size = replace(find_size("miniature_teacher"), encoder="keypoints", dynamics_kind="gru")
    with pytest.raises(SdiwmError, match=named):
        check_runnable(replace(size, **change), "m7_est")


def test_a_plan_beyond_the_firmwares_room_is_refused(random_bundle, small):
    with pytest.raises(SdiwmError, match="planner.candidates is 512.*room for 64"):
        estimate_bundle(random_bundle, "mps2-an500", PlannerSettings())
    with pytest.raises(SdiwmError, match="unknown board 'm7'"):
        estimate(small, "m7", PLAN)
