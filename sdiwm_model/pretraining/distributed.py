"""The ranks that train together: one process alone, those of torchrun, or those of Ray Train."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from sdiwm_model.errors import SdiwmError

PATIENCE = timedelta(minutes=10)  # with a rank that no longer answers


@dataclass(frozen=True)
class Team:
    """One process among its ranks.

    rank, world  number of this one, and how many there are
    device       where it computes
    mesh         all ranks in one dimension, over which weights are sharded
    host         group for what lies in main memory
    """

    rank: int
    world: int
    device: torch.device
    mesh: DeviceMesh
    host: dist.ProcessGroup

    def mean(self, values: list[float]) -> list[float]:
        """Each value's mean over the ranks, the same on all of them."""
        return self._reduced(values, dist.ReduceOp.SUM, self.world)

    def largest(self, values: list[float]) -> list[float]:
        """Each value's maximum over the ranks."""
        return self._reduced(values, dist.ReduceOp.MAX, 1)

    def agree(self, value: object) -> object:
        """What rank 0 holds."""
        held = [value]
        dist.broadcast_object_list(held, src=0, group=self.host)
        return held[0]

    def wait(self) -> None:
        """Until all ranks are here."""
        dist.barrier(group=self.host)

    def _reduced(
        self, values: list[float], how: dist.ReduceOp.RedOpType, divisor: int
    ) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, how, group=self.host)
        return [value / divisor for value in tensor.tolist()]


@contextmanager
def joined() -> Iterator[Team]:
    """Join the ranks that this process was started with, and leave them at the end.

    torchrun and Ray Train say in the environment who else there is; a group that already stands
    (Ray Train makes one) is used and left standing. A process alone is a group of one, so that
    there is one way to train. On CUDA each rank takes the device of its local number.

    Raises:
        SdiwmError: more local ranks than CUDA devices.
    """
    made = not dist.is_initialized()
    cuda = torch.cuda.is_available()
    device = _device(cuda)
    if made:
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        if "RANK" in os.environ:
            dist.init_process_group(backend, timeout=PATIENCE)
        else:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        world = dist.get_world_size()
        mesh = init_device_mesh(device.type, (world,))
        host = dist.new_group(backend="gloo", timeout=PATIENCE)
        yield Team(dist.get_rank(), world, device, mesh, host)
    finally:
        if made:
            dist.destroy_process_group()


def _device(cuda: bool) -> torch.device:
    if not cuda:
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        raise SdiwmError(
            f"rank {local} of this machine has no CUDA device: there are "
            f"{torch.cuda.device_count()}; start that many ranks (--nproc-per-node)"
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    return device
