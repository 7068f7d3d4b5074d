"""The same networks on emulated chips: the integers of the reference, by checksum."""

import shutil

import pytest

from sdiwm_model.export.compiler.layout import arrange, layout
from sdiwm_model.export.compiler.patches import possible_lengths, stage
from sdiwm_model.firmware.boards import BOARDS
from sdiwm_model.firmware.network import ChipNetwork, checksum, expected_checksum, random_inputs
from sdiwm_model.firmware.sample_networks import NETWORKS

MISSING = [t for t in ("qemu-system-arm", "arm-none-eabi-g++") if shutil.which(t) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
EMULATED = [board for board in BOARDS.values() if board.machine]
RUNS = {"picture": 20, "convolution": 20, "pooling": 20}
MOST_RUNS = 200


@pytest.fixture(params=EMULATED, ids=lambda board: board.name)
def board(request):
    return request.param


@pytest.mark.parametrize("name", NETWORKS)
def test_random_inputs_give_the_reference_integers(name, board, network, compiled, tmp_path):
    made = network(0)
    _, program = compiled(made.save(tmp_path / "n.onnx", *NETWORKS[name](made)))
    plan, runs = layout(program), RUNS.get(name, MOST_RUNS)
    with ChipNetwork(plan, board) as chip:
        got = chip.run(100, runs)
        assert [run.checksum for run in got] == [
            expected_checksum(plan, 100 + i) for i in range(runs)
        ]
        inputs = random_inputs(plan, 5)
        assert chip.run_on(inputs).checksum == checksum(plan, inputs)


def test_patches_and_much_scratch_memory_change_nothing(board, network, compiled, tmp_path):
    made = network(0)
    _, program = compiled(made.save(tmp_path / "n.onnx", *NETWORKS["picture"](made)))
    strips = arrange(program, stage(program, possible_lengths(program)[-1], 3))
    roomy = layout(program, ram=1 << 17)
    for plan in (strips, roomy):
        with ChipNetwork(plan, board) as chip:
            assert [run.checksum for run in chip.run(7, 5)] == [
                expected_checksum(plan, 7 + i) for i in range(5)
            ]
