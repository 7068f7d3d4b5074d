"""What a model takes on a microcontroller, before it is flashed, and even before it is trained.

The firmware is compiled and linked, so bytes are exact; a picture, a fusion and a plan run once
under emulation, so instructions are counted; cycles are estimated, see `firmware.cycles`. None of
this depends on what the weights are, so random ones of a size tell what training it would give.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.compression.activations import Calibration, Floats
from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantise import quantise
from sdiwm_model.compression.quantised_model import QuantisedModel, make_goal
from sdiwm_model.compression.ranges import Ranges
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.encoder import Encoder, quantise_vision
from sdiwm_model.firmware.boards import FLASH_BUDGET, RAM_BUDGET, Board, find_board
from sdiwm_model.firmware.memory import largest_buffer, memory_of
from sdiwm_model.firmware.program import MAX_CANDIDATES, MAX_HORIZON, Contents, build_firmware
from sdiwm_model.firmware.speed import encoder_speed, speed
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import ModelSize

if TYPE_CHECKING:
    from sdiwm_model.world_model import WorldModel

MS_BUDGET = 20.0  # from a picture to an action
BOARD_OF = {"m7_est": "mps2-an500", "m55_est": "mps3-an547"}  # of targets in reports
EXAMPLES = 16  # rows of what random layers are calibrated on
NO_NUMBERS = "llvm-mca is not installed: `sudo apt-get install llvm-19`"


@dataclass(frozen=True)
class Estimate:
    """What a firmware takes of one board.

    encode_ms, fuse_ms, plan_ms
                of a picture, of the way to a latent, and of one plan, at 480 MHz; None where it is
                not known, and `notes` say why; encode_ms also where the host encodes pictures
    ms_est      their sum
    sram_bytes  data, bss and stack
    flash_bytes code and constants
    fits        whether bytes and milliseconds are within the budgets; unknown milliseconds are not
    notes       what does not fit, with figures, and why something is not known
    """

    board: str
    encode_ms: float | None
    fuse_ms: float | None
    plan_ms: float | None
    ms_est: float | None
    sram_bytes: int
    flash_bytes: int
    fits: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON writes it."""
        return asdict(self)


def check_runnable(size: ModelSize, board: str) -> None:
    """SdiwmError, naming the operator, for a model that the integer engine has no kernels for."""
    if size.dynamics_kind != "gru":
        raise SdiwmError(
            f"{board} cannot run a {size.dynamics_kind} dynamics: the integer engine has no "
            "attention; distil it into a size whose dynamics is a GRU"
        )
    if size.encoder == "vit":
        raise SdiwmError(
            f"{board} cannot run a vision transformer: its network compiler has no attention; "
            "distil it into a size whose encoder is keypoints or mobilenet"
        )


def estimate_bundle(folder: Path, board: str, settings: PlannerSettings) -> Estimate:
    """`estimate` of an exported bundle.

    Raises:
        SdiwmError: what `check_runnable` and `estimate` refuse, or a damaged bundle.
    """
    check_runnable(read_manifest(folder).sizes, board)
    return estimate(Contents.of_bundle(folder), board, settings)


def estimate(contents: Contents, board: str, settings: PlannerSettings) -> Estimate:
    """Compile the firmware for the board called ``board`` and measure one frame to action.

    Args:
        settings: of a plan of the size that the firmware has room for, see `runtime.mcu.fitting`.

    Raises:
        SdiwmError: a plan too large for the firmware, an unknown board, or no cross-compiler.
    """
    target = find_board(board)
    _check_plan(settings)
    image = build_firmware(contents, target, within_budget=False)
    memory = memory_of(image)
    notes = []
    if memory.ram > RAM_BUDGET:
        name, size = largest_buffer(image)
        notes.append(
            f"RAM: {memory.ram} of {RAM_BUDGET} bytes, of which `{name}` takes {size}: it does not "
            "fit"
        )
    if memory.flash > FLASH_BUDGET:
        notes.append(f"flash: {memory.flash} of {FLASH_BUDGET} bytes: it does not fit")
    fits = not notes
    parts: dict[str, float | None] = dict.fromkeys(("encode", "fuse", "plan"))
    if target.machine is None:
        notes.append(f"QEMU does not model {board}: no time")
    elif max(memory.ram, memory.flash) > target.memory:
        notes.append(f"more than the {target.memory} bytes of the emulated {board}: no time")
    else:
        parts |= _milliseconds(target, contents, settings)
        if parts["plan"] is None:
            notes.append(NO_NUMBERS)
    known = [ms for ms in parts.values() if ms is not None]
    total = sum(known) if parts["plan"] is not None else None
    if total is not None and total > MS_BUDGET:
        notes.append(f"time: {total:.1f} of {MS_BUDGET:g} ms from picture to action: too slow")
    return Estimate(
        board=board,
        encode_ms=parts["encode"],
        fuse_ms=parts["fuse"],
        plan_ms=parts["plan"],
        ms_est=total,
        sram_bytes=memory.ram,
        flash_bytes=memory.flash,
        fits=fits and total is not None and total <= MS_BUDGET,
        notes=tuple(notes),
    )


def engine_of_size(size: ModelSize, seed: int = 0) -> QuantisedModel:
    """An integer model of random weights, as large and as fast as one of trained weights.

    Raises:
        SdiwmError: the engine does not run this size.
    """
    check_runnable(size, "the integer engine")
    return _random_engine(_random_model(size, seed), seed)


def contents_of_size(size: ModelSize, seed: int = 0) -> Contents:
    """A firmware of random weights, encoder included.

    Raises:
        SdiwmError: `check_runnable` refuses the size.
    """
    check_runnable(size, "a microcontroller")
    model = _random_model(size, seed)
    q = _random_engine(model, seed)
    return Contents(q, "0" * 16, _random_encoder(model, q, seed))


def _check_plan(settings: PlannerSettings) -> None:
    for name, most in (("candidates", MAX_CANDIDATES), ("horizon", MAX_HORIZON)):
        if getattr(settings, name) > most:
            raise SdiwmError(
                f"planner.{name} is {getattr(settings, name)}: a microcontroller's firmware has "
                f"room for {most}; use fewer"
            )


def _milliseconds(
    board: Board, contents: Contents, settings: PlannerSettings
) -> dict[str, float | None]:
    """Of encode, fuse and plan; None for what is not there or not known."""
    goal = make_goal(contents.model, np.zeros(contents.model.conditioning, np.float32))
    blocks = speed(board, contents.model, goal, IntegerMppi(contents.model, settings, 0))
    found = {part: blocks[part]["ms_est_480mhz"] for part in ("fuse", "plan")}
    if contents.encoder is not None:
        found["encode"] = encoder_speed(board, contents.encoder, 0)["ms_est_480mhz"]
    return found


def _random_model(size: ModelSize, seed: int) -> WorldModel:
    import torch

    from sdiwm_model.world_model import WorldModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return WorldModel(size).eval()


def _random_engine(model: WorldModel, seed: int) -> QuantisedModel:
    """Quantised on a handful of random inputs, every weight to the nearest."""
    size, rng = model.size, np.random.default_rng(seed)

    def uniform(*shape: int) -> Floats:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    examples = Calibration(
        latents=uniform(EXAMPLES, size.latent),
        actions=uniform(EXAMPLES, 2, size.action),
        conditionings=uniform(1, size.conditioning),
        features=uniform(EXAMPLES, size.frames * size.features),
        proprio=uniform(EXAMPLES, size.proprio),
    )
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return quantise(weights, examples, seed, Ranges(feedback=False))


def _random_encoder(model: WorldModel, q: QuantisedModel, seed: int) -> Encoder:
    from sdiwm_model.export.onnx import graphs, write_graph

    shape = model.size.image_size, model.size.image_size, 3 * model.size.cameras
    pictures = np.random.default_rng(seed).integers(0, 256, (EXAMPLES, *shape)).astype(np.uint8)
    with tempfile.TemporaryDirectory(prefix="sdiwm-size-") as folder:
        vision = Path(folder) / "vision.onnx"
        write_graph(vision, graphs(model)["vision"])
        return Encoder.of(quantise_vision(vision, pictures), q)
