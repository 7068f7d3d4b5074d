"""Pre-training goes on exactly where it was killed, on as many ranks as there are then."""

import json
import multiprocessing
import resource
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import one_rank
import pytest
import torch

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.shards import ShardWriter
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.metrics import LINES
from sdiwm_model.pretraining.protocols import Loss
from sdiwm_model.pretraining.schedule import LoopSettings

UPDATES = one_rank.SETTINGS["updates"]
DIE_AT = 15  # micro-batches of rank 1: in the middle of update 7, after two checkpoints
TOLERANCE = 1e-5  # of a loss, relative, between one rank and two: float32 sums in another order


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """27 clips of noise: an epoch ends in the middle of update 3."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    spec = EpisodeSpec(proprio=0, action=0, goals=0, state=0)
    none = np.zeros((4, 0), np.float32)
    with ShardWriter(folder / "data", spec, {}) as writer:
        for seed in range(27):
            frames = rng.integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
            writer.write(Episode(frames, none, none, none, none, "", -1, "video", seed))
    return folder / "data"


@pytest.fixture(scope="session")
def two_ranks(clips, tmp_path_factory):
    """The uninterrupted run, under torchrun."""
    out = tmp_path_factory.mktemp("run") / "two"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         one_rank.__file__, clips, out],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def start_two(*arguments):
    """Two ranks as torchrun starts them, without its own process; their exit codes.

    Where one dies the other is killed too, as torchrun does.
    """
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["sdiwm_model.pretraining.loop", "sdiwm_model.encoder"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        start.Process(target=one_rank.as_rank, args=(rank, port, *arguments)) for rank in (0, 1)
    ]
    for each in ranks:
        each.start()
    ranks[1].join(timeout=300)
    if ranks[1].exitcode:
        ranks[0].kill()
    ranks[0].join(timeout=300)
    return [each.exitcode for each in ranks]


@pytest.fixture(scope="session")
def one_alone(clips, tmp_path_factory):
    """The same run in one process, and its weights."""
    out = tmp_path_factory.mktemp("run") / "one"
    return out, one_rank.run(clips, out)


def figures(out):
    return [json.loads(line) for line in (out / LINES).read_text().splitlines()]


def losses(out):
    return [each["loss"] for each in figures(out)]


def order(out, ranks):
    """Every clip that was handed out, in the global order."""
    notes = [(out / f"clips-{rank}.jsonl").read_text().splitlines() for rank in range(ranks)]
    return [json.loads(line) for step in zip(*notes, strict=True) for line in step]


def test_two_ranks_killed_in_mid_epoch_go_on_with_the_very_losses(clips, two_ranks, tmp_path):
    out = tmp_path / "killed"
    assert start_two(clips, out, DIE_AT) == [-signal.SIGKILL, -signal.SIGKILL]
    assert 6 <= len(losses(out)) < UPDATES
    assert start_two(clips, out) == [0, 0]
    assert [each["update"] for each in figures(out)] == list(range(UPDATES))
    assert losses(out) == losses(two_ranks)


def test_one_rank_sees_what_two_see_and_differs_by_rounding(two_ranks, one_alone):
    out, _ = one_alone
    assert order(out, 1) == order(two_ranks, 2)
    assert losses(out) == pytest.approx(losses(two_ranks), rel=TOLERANCE)


def test_a_run_of_two_ranks_goes_on_with_one(clips, two_ranks, tmp_path):
    out = tmp_path / "fewer"
    checkpoint = "checkpoints/update-00000006"
    shutil.copytree(two_ranks / checkpoint, out / checkpoint)
    one_rank.run(clips, out)
    assert order(out, 1) == order(two_ranks, 2)[6 * 4 :]
    assert losses(out) == pytest.approx(losses(two_ranks)[6:], rel=TOLERANCE)


def test_a_finished_run_started_again_changes_nothing(clips, one_alone):
    out, weights = one_alone
    before = (out / LINES).read_text()
    again = one_rank.run(clips, out)
    assert (out / LINES).read_text() == before
    for part, tensors in weights.items():
        for name, tensor in tensors.items():
            assert torch.equal(again[part][name], tensor), name


def test_blocks_that_are_computed_again_give_the_same_numbers(clips, one_alone, tmp_path):
    out = tmp_path / "kept"
    one_rank.run(clips, out, recompute=False)
    assert losses(out) == losses(one_alone[0])


def test_bfloat16_trains_float32_weights_to_nearly_the_same(clips, one_alone, tmp_path):
    out, exact = tmp_path / "half", one_alone[1]["modules"]
    rough = one_rank.run(clips, out, precision="bfloat16")["modules"]
    assert {tensor.dtype for tensor in rough.values()} == {torch.float32}
    assert losses(out) == pytest.approx(losses(one_alone[0]), rel=5e-3)
    assert losses(out) != losses(one_alone[0])
    name = "encoder.image.blocks.0.mlp.0.weight"
    assert torch.allclose(rough[name], exact[name], atol=5e-3)


def test_the_target_follows_what_is_trained(one_alone):
    """Its weights are those that a run with whole weights in one place would have."""
    weights = one_alone[1]
    name = "encoder.image.blocks.0.mlp.0.weight"
    torch.manual_seed(0)
    start = one_rank.objective().modules().state_dict()[name]
    moved = (weights["targets"][name] - start).abs().max()
    assert 0 < moved < (weights["modules"][name] - start).abs().max()


def test_each_update_tells_throughput_wait_memory_and_utilisation(clips, tmp_path):
    out = tmp_path / "told"
    one_rank.run(clips, out, updates=1, peak_tflops=0.5)
    (told,) = figures(out)
    assert told["frames_per_second"] == pytest.approx(8 * 4 / told["seconds"])
    assert 0 < told["wait_fraction"] < 1
    assert 0 < told["mfu"] < 1
    assert 0.05 < told["memory_peak_gb"] < 8
    assert list((out / "tensorboard").iterdir())


def test_another_run_and_damaged_checkpoints_are_refused_by_name(clips, one_alone, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(one_alone[0], out)
    with pytest.raises(SdiwmError, match=r"update-00000008 belongs to a run with another seed"):
        one_rank.run(clips, out, seed=1)
    with pytest.raises(SdiwmError, match=r"update-00000008 belongs to a run with another settings"):
        one_rank.run(clips, out, learning_rate=1.0)
    (stored,) = (out / "checkpoints/update-00000008").glob("*.safetensors")
    stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.raises(SdiwmError, match=rf"{stored.name} is missing or truncated; remove"):
        one_rank.run(clips, out)
    shutil.rmtree(stored.parent)
    one_rank.run(clips, out)
    assert losses(out) == losses(one_alone[0])


def test_a_full_disk_is_named_and_leaves_no_half_checkpoint(clips, one_alone, tmp_path):
    low, high = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, high))
    try:
        with pytest.raises(SdiwmError, match=r"update-00000003.part could not be written .*rank 0"):
            one_rank.run(clips, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (low, high))
    assert [each.suffix for each in (tmp_path / "checkpoints").iterdir()] == [".part"]
    one_rank.run(clips, tmp_path)
    assert losses(tmp_path) == losses(one_alone[0])


class Diverging:
    """Latent prediction whose second update has no number for a loss."""

    def __init__(self):
        self._inner = one_rank.objective()
        self.modules, self.targets = self._inner.modules, self._inner.targets
        self.after_update = self._inner.after_update

    def loss(self, batch, step, generator):
        loss = self._inner.loss(batch, step, generator)
        return Loss(loss.total * (float("nan") if step else 1.0), loss.parts)


def test_a_loss_that_is_no_number_stops_the_run_before_it_spoils_the_weights(clips, tmp_path):
    with pytest.raises(SdiwmError, match="the loss became nan at update 1; the last checkpoint"):
        one_rank.run(clips, tmp_path, make=Diverging, save_every=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["update-00000001"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"effective_batch": 9, "micro_batch": 2}, "'effective_batch' is 9: use a multiple of"),
        ({"precision": "int8"}, "'precision' is 'int8': use one of float32, bfloat16"),
        ({"updates": 0}, "'updates' is 0: use a whole number"),
        ({"learning_rate": float("nan")}, "'learning_rate' is nan: use 0 or more"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(SdiwmError, match=message):
        LoopSettings(**{"updates": 1, **changes})


def test_ranks_that_cannot_share_an_update_are_refused():
    settings = LoopSettings(updates=1, effective_batch=512, micro_batch=8)
    assert settings.micro_batches(16) == 4
    with pytest.raises(SdiwmError, match="multiple of 'micro_batch' x ranks = 24"):
        settings.micro_batches(3)


def test_the_learning_rate_rises_then_falls_to_zero():
    settings = LoopSettings(updates=100, learning_rate=1.0)
    rates = [settings.rate(update) for update in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 1e-3
