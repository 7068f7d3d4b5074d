"""The losses, one readable function each. Latents are (..., Z), batch first, then time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SATURATION = 2.5  # |pre-tanh| beyond this flattens the gradient: tanh(2.5) = 0.987
NEAR = 0.5  # cost units (5 cm): below this an error decides whether a target is touched
NEAR_WEIGHT = 3.0


def drift_loss(predicted: Tensor, encoded: Tensor) -> Tensor:
    """L_drift = mean over k = 1..K of ||z^_{t+k} - Enc(x_{t+k})||^2, rolled open loop.

    Args:
        predicted: latents of one open-loop rollout, (B, K, Z).
        encoded: the encoder's latents at the same times, (B, K, Z).
    """
    return (predicted - encoded).square().sum(dim=-1).mean()


def cost_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Huber error of predicted costs, weighted up where the target is near.

    Args:
        predicted, target: costs in cost units, of equal shape.
    """
    weight = 1.0 + (NEAR_WEIGHT - 1.0) * (target < NEAR)
    return (weight * functional.huber_loss(predicted, target, reduction="none", delta=0.5)).mean()


def value_loss(value: Tensor, cost: Tensor, next_value: Tensor, discount: float) -> Tensor:
    """Expectile temporal difference towards the best continuation seen in the data.

    V(z) moves to cost + discount * V(z') by an asymmetric square, so that it approaches the
    lower (better) outcomes: implicit V-learning, Kostrikov et al., "IQL" (2021), eq. 5, with the
    sign turned since this is a cost.
    """
    error = cost + discount * next_value.detach() - value
    return (torch.where(error < 0, 0.9, 0.1) * error.square()).mean()


def variance_covariance_loss(latents: Tensor) -> Tensor:
    """Anti-collapse: keep every latent dimension alive and no two the same.

    Variance and covariance terms of VICReg (Bardes et al. 2022, eq. 1-4) over all latents given,
    for a target standard deviation of 0.4, which tanh units can hold.
    """
    flat = latents.reshape(-1, latents.shape[-1])
    deviation = flat - flat.mean(dim=0)
    std = (deviation.square().mean(dim=0) + 1e-4).sqrt()
    covariance = deviation.T @ deviation / (len(flat) - 1)
    off_diagonal = covariance - torch.diag(covariance.diagonal())
    return functional.relu(0.4 - std).mean() + off_diagonal.square().sum() / flat.shape[-1]


def saturation_loss(before_tanh: Tensor) -> Tensor:
    """Penalty on latents that saturate: mean of relu(|x| - 2.5)^2."""
    return functional.relu(before_tanh.abs() - SATURATION).square().mean()
