"""The losses, one readable function each. Latents are (..., Z), batch first, then time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SATURATION = 2.5  # |pre-tanh| beyond this flattens the gradient: tanh(2.5) = 0.987
NEAR = 0.5  # cost units (5 cm): below this an error decides whether a target is touched
NEAR_WEIGHT = 3.0
DIRECTIONS = 64  # random projections of one batch


def drift_loss(predicted: Tensor, encoded: Tensor, discount: float = 1.0) -> Tensor:
    """L_drift = mean over k = 1..K of w_k ||z^_{t+k} - Enc(x_{t+k})||^2, rolled open loop.

    Args:
        predicted: latents of one open-loop rollout, (B, K, Z).
        encoded: the encoder's latents at the same times, (B, K, Z).
        discount: w_k = discount^(k - 1), scaled to a mean of 1 over the K steps.
    """
    weight = discount ** torch.arange(predicted.shape[1])
    error = (predicted - encoded).square().sum(dim=-1)
    return (error * weight / weight.mean()).mean()


def cost_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Huber error of predicted costs, weighted up where the target is near.

    Args:
        predicted, target: costs in cost units, of shapes that broadcast.
    """
    weight = 1.0 + (NEAR_WEIGHT - 1.0) * (target < NEAR)
    error = functional.huber_loss(
        predicted, target.expand_as(predicted), reduction="none", delta=0.5
    )
    return (weight * error).mean()


def likelihood_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of a Gaussian whose variance is the batch's own, one a dimension.

    What can be read is read ever more precisely, and what cannot, such as velocities from one
    picture, does not drown it (Kendall et al. 2018, eq. 5-7, the variance at its optimum).

    Args:
        predicted, target: (B, ...); every number after the first axis has a variance of its own.
    """
    return (
        0.5 * (functional.mse_loss(predicted, target, reduction="none").mean(0) + 1e-5).log().mean()
    )


def readout_loss(reader: nn.Module, real: Tensor, predicted: Tensor, target: Tensor) -> Tensor:
    """Mean square error of what is read from real and from predicted latents, summed.

    Args:
        reader: (..., Z) -> (..., X).
        real, target: (B, K + 1, Z), (B, K + 1, X).
        predicted: the latents of steps 1..K, (B, K, Z).
    """
    return functional.mse_loss(reader(real), target) + functional.mse_loss(
        reader(predicted), target[:, 1:]
    )


def precise_readout_loss(
    reader: nn.Module, real: Tensor, predicted: Tensor, target: Tensor
) -> Tensor:
    """The same by `likelihood_loss`, every step of the prediction with variances of its own.

    A mean square is settled by what is predicted worst, which is far ahead: small errors of the
    next step, that grow where motion is unstable, would count for nothing.
    """
    return likelihood_loss(reader(real).flatten(0, 1), target.flatten(0, 1)) + likelihood_loss(
        reader(predicted), target[:, 1:]
    )


def inverse_dynamics_loss(reader: nn.Module, latents: Tensor, actions: Tensor) -> Tensor:
    """Mean square error of the action that led from one latent to the next.

    It keeps in a latent what the robot can change, without any label (Pathak et al. 2017, eq. 2).

    Args:
        reader: (..., 2 Z) -> (..., A).
        latents, actions: (B, K + 1, Z), (B, K + 1, A), the last action unused.
    """
    pairs = torch.cat([latents[:, :-1], latents[:, 1:]], dim=-1)
    return functional.mse_loss(reader(pairs), actions[:, :-1])


def places_loss(reader: nn.Module, places: Tensor, joints: Tensor, cost: Tensor) -> Tensor:
    """Error of the costs at some moments of an episode, told the picture of *one* and all joints.

    One reader serves every goal: cost = reader(place of the goal, joints). To foretell what it
    costs to be elsewhere, a place must hold where its goal is and not only how far from here: a
    distance is a circle, several are a place. Rewards and joints suffice, no label is needed.

    Args:
        reader: (..., place + P) -> (..., 1).
        places: of every goal, from one picture each, (B, G, place).
        joints, cost: at the moments asked for, (M, B, P), (M, B, G).
    """
    shape = (*cost.shape, -1)
    told = [places.expand(shape), joints.unsqueeze(-2).expand(shape)]
    return cost_loss(reader(torch.cat(told, dim=-1)).squeeze(-1), cost)


def value_loss(value: Tensor, cost: Tensor, discount: float) -> Tensor:
    """Expectile temporal difference towards the best continuation seen in the data.

    V(z) moves to cost + discount * V(z') by an asymmetric square, so that it approaches the
    lower (better) outcomes: implicit V-learning, Kostrikov et al., "IQL" (2021), eq. 5, with the
    sign turned since this is a cost.

    Args:
        value, cost: of successive steps, (B, K + 1, ...).
    """
    error = cost[:, :-1] + discount * value[:, 1:].detach() - value[:, :-1]
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


def sketched_gaussian_loss(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Anti-collapse: along random directions the latents are spread like a standard normal.

    SIGReg of LeJEPA (Balestriero & LeCun 2025, eq. 3-6): the Epps-Pulley statistic, the squared
    difference of the empirical characteristic function from exp(-t^2 / 2), weighted by the same
    Gaussian and integrated over t by the trapezoidal rule, averaged over `DIRECTIONS` directions.

    Args:
        latents: before tanh, (..., Z).
    """
    flat = latents.reshape(-1, latents.shape[-1])
    directions = torch.randn(flat.shape[-1], DIRECTIONS, generator=generator)
    along = flat @ functional.normalize(directions, dim=0)
    t = torch.linspace(0.2, 4.0, 20)
    normal = torch.exp(-0.5 * t**2)
    angle = along.unsqueeze(-1) * t
    error = (angle.cos().mean(dim=0) - normal).square() + angle.sin().mean(dim=0).square()
    return torch.trapezoid(error * normal, t, dim=-1).mean()


def saturation_loss(before_tanh: Tensor) -> Tensor:
    """Penalty on latents that saturate: mean of relu(|x| - 2.5)^2."""
    return functional.relu(before_tanh.abs() - SATURATION).square().mean()


def unexplained_share(predicted: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """mean ||predicted - target||^2 / mean ||target - mean target||^2: 1 - R^2, 1 for a constant.

    What a projection of a student's features or latents leaves of the teacher's (FitNets, Romero
    et al. 2015, eq. 3), in a unit that is the same for every teacher.

    Args:
        predicted, target: (..., X).
        variance: of each of the X numbers over all the data, (X,).
    """
    return functional.mse_loss(predicted, target) / variance.mean()


def ranking_loss(costs: Tensor, teacher: Tensor, temperature: float, floor: float) -> Tensor:
    """lambda KL(softmax(-J_teacher / lambda) || softmax(-J / lambda)), mean over candidate sets.

    ListNet's listwise loss (Cao et al. 2007, eq. 6) with the planner's own temperature
    lambda = max(floor, temperature * (mean J_teacher - min J_teacher)): what MPPI weights the
    candidates by, so that 0 means the teacher's plan. In front, lambda takes back what a cold
    softmax adds to the gradient, as T^2 does in Hinton et al. (2015, section 2): that of a
    candidate's J is the difference of its two weights. Without it this loss outweighs all others
    a hundred times.

    Args:
        costs, teacher: J of each candidate by student and by teacher, (S, N).
    """
    spread = teacher - teacher.min(dim=1, keepdim=True).values
    scale = (temperature * spread.mean(dim=1, keepdim=True)).clamp(min=floor)
    divergence = functional.kl_div(
        functional.log_softmax(-costs / scale, dim=1),
        functional.log_softmax(-spread / scale, dim=1),
        reduction="none",
        log_target=True,
    )
    return (scale * divergence).sum(dim=1).mean()
