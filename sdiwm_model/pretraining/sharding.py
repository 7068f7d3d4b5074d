"""An objective's networks spread over the ranks: FSDP2, with blocks computed again on demand.

Zhao et al., "PyTorch FSDP" (2023); Rajbhandari et al., "ZeRO" (2020), stage 3: every rank keeps its
part of weights, gradients and moments, and gathers a block's weights while that block computes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed._composable.checkpoint_activation import checkpoint
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from sdiwm_model.attention import Block
from sdiwm_model.pretraining.distributed import Team
from sdiwm_model.pretraining.protocols import Objective

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def recompute_blocks(modules: nn.Module) -> None:
    """Keep of each transformer block its input alone; the backward pass computes the rest again.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016). Names do not change.
    """
    for block in blocks_of(modules):
        checkpoint(block)


def shard(objective: Objective, team: Team, precision: str, recompute: bool) -> None:
    """Move an objective's networks to ``team``'s devices, each rank holding its part.

    Weights are gathered in ``precision``, their gradients reduced in float32, and what a network
    returns is float32. Gathered weights are given back after each use, those of the targets too:
    what `after_update` writes is then what the next forward pass gathers.
    """
    if recompute:
        recompute_blocks(objective.modules())
    for network in [*objective.modules().values(), *objective.targets().values()]:
        inner = MixedPrecisionPolicy(param_dtype=DTYPES[precision], reduce_dtype=torch.float32)
        outer = MixedPrecisionPolicy(
            param_dtype=DTYPES[precision], reduce_dtype=torch.float32, output_dtype=torch.float32
        )
        for block in blocks_of(network):
            fully_shard(block, mesh=team.mesh, mp_policy=inner, reshard_after_forward=True)
        fully_shard(network, mesh=team.mesh, mp_policy=outer, reshard_after_forward=True)


def blocks_of(modules: nn.Module) -> list[Block]:
    """The transformer blocks, in order."""
    return [module for module in modules.modules() if isinstance(module, Block)]


def whole_weights(module: nn.Module) -> dict[str, Tensor]:
    """A sharded network's state dict in full, on the CPU; every rank must ask for it."""
    whole: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        full = value.full_tensor() if isinstance(value, DTensor) else value
        whole[name] = full.detach().cpu().contiguous()
    return whole
