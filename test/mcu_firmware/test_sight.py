"""Pictures that arrive in chunks become the reference's latents, or are refused in words."""

import dataclasses

import numpy as np
import pytest

from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.shards import ShardReader, ShardWriter
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler import operators as op
from sdiwm_model.export.compiler.graph import POINTWISE, Window
from sdiwm_model.export.encoder import Encoder, IntegerSight
from sdiwm_model.firmware.boards import BOARDS
from sdiwm_model.firmware.emulator import Emulator
from sdiwm_model.firmware.episodes import by_reference, compare_episodes
from sdiwm_model.firmware.on_host import HostLine, build_link
from sdiwm_model.firmware.program import Contents, build_firmware
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.link import Link, RefusedError
from sdiwm_model.runtime.mcu_observer import send_picture
from sdiwm_model.runtime.messages import IMAGE_CHUNK, Codec

HASH = "0123456789abcdef"
SHAPE = (20, 21, 3)  # 1260 bytes: a whole chunk and a part of one
EMULATED = [board.name for board in BOARDS.values() if board.machine]


def encoder_of(model, width):
    """Random integers that training would never give; `width` features a picture."""
    rng = np.random.default_rng(4)

    def layer(outward, inward, kernel):
        return {
            "weight": rng.integers(-128, 128, (outward, *kernel, inward)).astype(np.int8),
            "bias": rng.integers(-(2**12), 2**12, outward).astype(np.int32),
            "shift": rng.integers(4, 7, outward).astype(np.int16),
            "multiplier": rng.integers(4000, 32768, outward).astype(np.int16),
        }

    window = Window((3, 3), (2, 2), (1, 1))
    seen = op.Convolution("seen", ("image",), "maps", window, padding=-1, zero=3, low=-128,
                          high=127, **layer(4, 3, (3, 3)))  # fmt: skip
    mean = op.GlobalAverage("mean", ("maps",), "means", 1 << 3, 4, 20000)
    last = op.Convolution("last", ("means",), "features", POINTWISE, padding=0, zero=0,
                          low=-32768, high=32767, **layer(width, 4, (1, 1)))  # fmt: skip
    tensors = [
        op.Tensor("image", SHAPE, "uint8", 1 / 127.5, -0.5),
        op.Tensor("maps", (10, 11, 4), "int8", 0.1, 3),
        op.Tensor("means", (1, 1, 4), "int16", 0.01),
        op.Tensor("features", (1, 1, width), "int16", 2.0**-13),
    ]
    program = op.Program(
        "hostile", {t.name: t for t in tensors}, [seen, mean, last], ["image"], ["features"],
        ["features"],
    )  # fmt: skip
    return Encoder.of(program, model)


@pytest.fixture(scope="module")
def model(hostile_of):
    return hostile_of(6, 3)  # of three features and two joints


@pytest.fixture(scope="module", params=[3, 1], ids=["one_picture", "three_pictures"])
def contents(request, model):
    return Contents(model, HASH, encoder_of(model, request.param))


@pytest.fixture(scope="module", params=["host", *EMULATED])
def link(request, contents, tmp_path_factory):
    if request.param == "host":
        program = build_link(contents, tmp_path_factory.mktemp("sight"))

        def open_line():
            return HostLine(program)
    else:
        board = BOARDS[request.param]
        image = build_firmware(contents, board)

        def open_line():
            return Emulator(board, image)

    made = Link(open_line, Codec(contents.wire_sizes), bytes.fromhex(HASH), timeout_s=20.0)
    yield made
    made.close()


@pytest.fixture
def fresh(link):
    link.greet()
    return link


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    scenes = [rng.integers(0, 256, SHAPE) // (1 + i % 3) for i in range(count)]
    return [scene.astype(np.uint8) for scene in scenes]


def chunk(number, offset, value=7):
    return {"picture": number, "offset": offset, "bytes": bytes([value]) * IMAGE_CHUNK}


def test_every_latent_of_an_episode_is_the_reference_s(fresh, contents, model):
    sight, reference = IntegerSight(contents.encoder, model), IntegerModel(model)
    rng = np.random.default_rng(1)
    latents = []
    for number, picture in enumerate(pictures(6)):
        send_picture(fresh, number, picture)
        fresh.ask("Encode", {"picture": number, "first": 0})
        sight.see(picture)
        for _ in range(2):  # joints come more often than pictures
            x = sight.fusion_inputs(rng.uniform(-3, 3, 2).astype(np.float32))
            found = fresh.ask("FuseSeen", {"picture": number, "proprio": x[-2:]})["latent"]
            np.testing.assert_array_equal(found, reference.fuse(x))
            latents.append(found)
    assert len(set(latents)) > 6


def test_the_first_picture_of_an_episode_forgets_the_last_episode(fresh):
    latents = []
    for number, (picture, first) in enumerate(zip(pictures(2) * 2, [1, 0, 1, 0], strict=True)):
        send_picture(fresh, number, picture)
        fresh.ask("Encode", {"picture": number, "first": first})
        latents.append(fresh.ask("FuseSeen", {"picture": number, "proprio": [5, 6]})["latent"])
    assert latents[:2] == latents[2:]


@pytest.mark.parametrize(
    ("chunks", "reason", "detail"),
    [
        ([(1, 1024)], "kChunkOrder", 0),  # the first is missing
        ([(1, 0), (2, 1024)], "kChunkOrder", 1024),  # of another picture
        ([(1, 0), (1, 512)], "kChunkOrder", 1024),
        ([(1, 0), (1, 1024), (1, 1024)], "kChunkOrder", 1260),  # doubled
        ([(1, 1260)], "kChunkRange", 1260),
        ([(1, 0xFFFFFC00)], "kChunkRange", 0xFFFFFC00),
    ],
)
def test_chunks_out_of_place_are_refused_and_counted(fresh, chunks, reason, detail):
    before = fresh.read_statistics()
    for number, offset in chunks[:-1]:
        fresh.ask("ImageChunk", chunk(number, offset))
    with pytest.raises(RefusedError) as refusal:
        fresh.ask("ImageChunk", chunk(*chunks[-1]))
    assert (refusal.value.reason, refusal.value.detail) == (reason, detail)
    counter = "chunk_order" if reason == "kChunkOrder" else "out_of_range"
    assert fresh.read_statistics()[counter] == before[counter] + 1


def test_what_was_refused_changes_no_picture(fresh):
    (picture,) = pictures(1)
    raw = picture.tobytes()
    fresh.ask("ImageChunk", {"picture": 1, "offset": 0, "bytes": raw[:IMAGE_CHUNK]})
    with pytest.raises(RefusedError, match="in order and without gaps: byte 1024 is the next one"):
        fresh.ask("ImageChunk", chunk(1, 64))
    rest = raw[IMAGE_CHUNK:].ljust(IMAGE_CHUNK, b"\xff")  # padding
    fresh.ask("ImageChunk", {"picture": 1, "offset": IMAGE_CHUNK, "bytes": rest})
    fresh.ask("Encode", {"picture": 1, "first": 1})
    send_picture(fresh, 2, picture)
    felt = {"proprio": [1, 2]}
    found = fresh.ask("FuseSeen", {"picture": 1} | felt)
    fresh.ask("Encode", {"picture": 2, "first": 1})
    assert fresh.ask("FuseSeen", {"picture": 2} | felt)["latent"] == found["latent"]


def test_half_a_picture_is_neither_encoded_nor_fused(fresh):
    before = fresh.read_statistics()
    fresh.ask("ImageChunk", chunk(1, 0))
    with pytest.raises(RefusedError, match="not whole: byte 1024 is the next one"):
        fresh.ask("Encode", {"picture": 1, "first": 1})
    with pytest.raises(RefusedError, match="picture number 1 is not the newest one"):
        fresh.ask("FuseSeen", {"picture": 1, "proprio": [0, 0]})
    after = fresh.read_statistics()
    assert after["partial_picture"] == before["partial_picture"] + 2
    assert after["pictures"] == before["pictures"]


def test_a_new_picture_replaces_one_that_never_became_whole(fresh):
    fresh.ask("ImageChunk", chunk(1, 0))
    send_picture(fresh, 2, pictures(1)[0])
    fresh.ask("Encode", {"picture": 2, "first": 1})
    with pytest.raises(RefusedError) as refusal:
        fresh.ask("Encode", {"picture": 1, "first": 1})
    assert refusal.value.reason == "kPartialPicture"


def test_while_the_next_picture_arrives_the_last_one_is_fused(fresh):
    send_picture(fresh, 1, pictures(1)[0])
    fresh.ask("Encode", {"picture": 1, "first": 1})
    found = fresh.ask("FuseSeen", {"picture": 1, "proprio": [3, 4]})
    fresh.ask("ImageChunk", chunk(2, 0))
    again = fresh.ask("FuseSeen", {"picture": 1, "proprio": [3, 4]})
    assert again["latent"] == found["latent"]


def test_asked_again_the_chip_does_not_encode_again(fresh):
    for number, picture in enumerate(pictures(2)):
        send_picture(fresh, number, picture)
        fresh.ask("Encode", {"picture": number, "first": 0})
    found = fresh.ask("FuseSeen", {"picture": 1, "proprio": [3, 4]})
    before = fresh.read_statistics()["pictures"]
    fresh.ask("Encode", {"picture": 1, "first": 0})  # as where the answer was lost
    assert fresh.ask("FuseSeen", {"picture": 1, "proprio": [3, 4]})["latent"] == found["latent"]
    assert fresh.read_statistics()["pictures"] == before


def test_a_handshake_forgets_what_was_seen(fresh):
    send_picture(fresh, 1, pictures(1)[0])
    fresh.ask("Encode", {"picture": 1, "first": 1})
    fresh.greet()
    with pytest.raises(RefusedError) as refusal:
        fresh.ask("FuseSeen", {"picture": 1, "proprio": [0, 0]})
    assert refusal.value.reason == "kNoPicture"


def test_joints_out_of_range_are_refused(fresh):
    send_picture(fresh, 1, pictures(1)[0])
    fresh.ask("Encode", {"picture": 1, "first": 1})
    with pytest.raises(RefusedError) as refusal:
        fresh.ask("FuseSeen", {"picture": 1, "proprio": [0, -32768]})
    assert (refusal.value.reason, refusal.value.detail) == ("kInputRange", 1)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two short episodes of random pictures and joints."""
    folder = tmp_path_factory.mktemp("recorded")
    spec = EpisodeSpec(SHAPE, proprio=2, action=6, goals=1, state=1)
    rng = np.random.default_rng(9)
    with ShardWriter(folder, spec, {"command": "test"}) as writer:
        for length in (4, 3):
            arrays = {
                name: np.zeros((length, *shape), dtype)
                for name, (dtype, shape) in spec.columns().items()
            }
            arrays["frames"][:] = pictures(length, seed=length)
            arrays["proprio"][:] = rng.uniform(-3, 3, (length, 2))
            writer.write(Episode(**arrays, instruction="", goal=0, behaviour="random", seed=0))
    return folder


def test_whole_episodes_give_the_reference_s_plans_on_every_target(model, recorded):
    contents = Contents(model, HASH, encoder_of(model, 1))
    goal = make_goal(model, np.full(model.conditioning, 0.3, np.float32))
    found = compare_episodes(contents, goal, PlannerSettings(9, 3), recorded, 2, seed=5)
    assert (found["episodes"], found["plans"]) == (2, 7)
    assert found["same"] == dict.fromkeys(["host", *EMULATED], 7)


def test_other_plans_are_noticed(model, recorded):
    contents = Contents(model, HASH, encoder_of(model, 1))
    goal = make_goal(model, np.full(model.conditioning, 0.3, np.float32))
    episode = ShardReader(recorded).read(0)
    traces = [
        by_reference(contents, goal, PlannerSettings(9, 3), each, seed)
        for each, seed in (
            (episode, 5),
            (episode, 6),
            (dataclasses.replace(episode, frames=episode.frames[::-1]), 5),
        )
    ]
    assert len({trace[-1] for trace in traces}) == 3


def test_an_encoder_of_another_model_is_refused(model, hostile_of):
    program = encoder_of(model, 3).program
    tensors = dict(program.tensors)
    tensors["features"] = dataclasses.replace(tensors["features"], shape=(1, 1, 2))
    with pytest.raises(SdiwmError, match="1x1x2 features of int16, the model takes 3"):
        Encoder.of(dataclasses.replace(program, tensors=tensors), model)
