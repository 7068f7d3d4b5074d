"""How much memory a rank needs to train an objective, before a machine is rented.

What is sharded is counted: weights, gradients and the optimiser's two moments in float32, and the
targets. What a micro-batch needs is measured on the meta device, where every tensor has a size and
none has memory: forward and backward pass run as they would, and the largest sum of what is alive
at a time is kept. What FSDP2 adds is computed from the largest transformer block: two of them
gathered at a time (one computes, the next is on its way), and one's gradients while they are
reduced. Not in it: what the device's driver and its allocator need for themselves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sdiwm_model.pretraining.protocols import Objective
from sdiwm_model.pretraining.sharding import DTYPES, blocks_of, recompute_blocks

SINGLE = 4  # bytes of a float32
MOMENTS = 2  # of AdamW


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on one rank.

    weights, gradients, moments, targets: its part of them, always there
    gathered: blocks' whole weights, and one's gradients on their way to the ranks
    activations: most that a micro-batch holds at a time, clips included
    parameters: how many are trained (no bytes)
    """

    weights: int
    gradients: int
    moments: int
    targets: int
    gathered: int
    activations: int
    parameters: int

    @property
    def peak(self) -> int:
        """At the worst moment of a backward pass."""
        always = self.weights + self.gradients + self.moments + self.targets
        return always + self.gathered + self.activations

    def to_dict(self) -> dict[str, int]:
        """All figures with the peak."""
        return asdict(self) | {"peak": self.peak}


def plan_memory(
    make: Callable[[], Objective],
    shape: tuple[int, ...],
    ranks: int,
    precision: str,
    recompute: bool,
) -> MemoryPlan:
    """What a rank of ``ranks`` needs for micro-batches of clips of ``shape`` (B, T, H, W, 3).

    Args:
        make: gives the objective; it is only ever built on the meta device.
        precision, recompute: as in `schedule.LoopSettings`.
    """
    with torch.device("meta"):
        objective = make()
    modules, targets = objective.modules(), objective.targets()
    largest = max((_count(block) for block in blocks_of(modules)), default=_count(modules))
    trained, followed = _count(modules), _count(targets)
    gathered = DTYPES[precision].itemsize
    return MemoryPlan(
        weights=SINGLE * trained // ranks,
        gradients=SINGLE * trained // ranks,
        moments=MOMENTS * SINGLE * trained // ranks,
        targets=SINGLE * followed // ranks,
        gathered=largest * (2 * gathered + gathered + SINGLE),
        activations=peak_activations(objective, shape, precision, recompute),
        parameters=trained,
    )


def peak_activations(
    objective: Objective, shape: tuple[int, ...], precision: str, recompute: bool
) -> int:
    """Most bytes that a micro-batch of an ``objective`` on the meta device holds at a time."""
    modules = objective.modules()
    for network in (modules, objective.targets()):
        network.to(DTYPES[precision])
    if recompute:
        recompute_blocks(modules)
    for parameter in modules.parameters():
        parameter.register_post_accumulate_grad_hook(_forget_gradient)
    with fused_attention(), Meter() as meter:
        clips = torch.empty(shape, dtype=torch.uint8, device="meta")
        loss = objective.loss({"image": clips}, 0, torch.Generator().manual_seed(0))
        loss.total.backward()
    return meter.peak


@contextmanager
def fused_attention() -> Iterator[None]:
    """Attention that keeps no matrix of tokens x tokens, as CPU and CUDA compute it.

    The meta device would take the plain form, which does. The fused form of the CPU stands for
    all: Dao et al., "FlashAttention" (2022).
    """
    plain = functional.scaled_dot_product_attention

    def fused(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> Tensor:
        compute = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        read: Tensor = compute(q, k, v, is_causal=is_causal)[0]
        return read

    functional.scaled_dot_product_attention = fused  # type: ignore[assignment]
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = plain


class Meter(TorchDispatchMode):
    """Counts the bytes of what is made on the meta device while it is entered, until it is freed.

    now, peak: bytes alive at this moment, and most at any.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {
            storage_of(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)
        }
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and each.is_meta and storage_of(each) not in given:
                self._note(each)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), storage_of(tensor)
        if key in self._alive:
            return
        self._alive.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, storage.nbytes())

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


def storage_of(tensor: Tensor) -> int:
    """What tensors that share memory have in common."""
    return tensor.untyped_storage()._cdata


def _count(modules: nn.Module) -> int:
    return sum(parameter.numel() for parameter in modules.parameters())


def _forget_gradient(parameter: Tensor) -> None:
    """Sharded as soon as it is there, and counted apart."""
    parameter.grad = None
