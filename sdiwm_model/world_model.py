"""The world model: encoder, dynamics, language and heads under one roof."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdiwm_model.dynamics import Dynamics
from sdiwm_model.encoder import Fusion, image_encoder
from sdiwm_model.heads import GoalHead, GoalPicture, Places, PriorHead, Probe
from sdiwm_model.language import LanguageFusion
from sdiwm_model.sizes import ModelSize
from sdiwm_model.transformer_dynamics import TransformerDynamics


class WorldModel(nn.Module):
    """Everything that is trained; a bundle's model.safetensors is its state dict.

    vision     picture -> features, at the camera's rate
    fusion     features of the last frames, proprioception -> z, at every tick
    dynamics   z, action, c -> next z, one model step
    cost       z, c -> cost of being there: the distance to the goal, in the task's unit
    value      z, c -> discounted cost to go, in the same unit
    prior      z, c -> the action sequence that the planner would choose, where there is one
    language   text tokens -> c, once per instruction
    goal_image image features of a picture of the goal -> c, in place of the language
    joints     z -> normalised proprioception: a training loss that needs no labels
    scene      z -> normalised features of its frames: another one. Without it a latent holds how
               far each target is but not where: a planner cannot tell in which direction to move.
    places     image features -> where each goal is, in coordinates of the model's own making: what
               a latent must hold for that, learned from rewards. Training only.
    probe      z -> privileged state, fitted after training, for evaluation and pictures
    """

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.size = size
        self.vision = image_encoder(size)
        self.fusion = Fusion(size)
        self.dynamics: Dynamics | TransformerDynamics = (
            TransformerDynamics(size) if size.dynamics_kind == "transformer" else Dynamics(size)
        )
        self.cost = GoalHead(size, size.ensemble)
        self.value = GoalHead(size)
        self.prior = PriorHead(size) if size.prior else None
        self.language = None if size.goal_image else LanguageFusion(size)
        self.goal_image = GoalPicture(size) if size.goal_image else None
        self.joints = nn.Linear(size.latent, size.proprio)
        self.scene = nn.Linear(size.latent, size.frames * size.features)
        self.places = Places(size)
        self.probe = Probe(size)

    def rollout(self, z: Tensor, actions: Tensor, c: Tensor) -> Tensor:
        """Open loop: z (B, Z), actions (B, T, A), c (B, C) -> predicted latents (B, T, Z)."""
        if isinstance(self.dynamics, TransformerDynamics):
            return self.dynamics.rollout(z, actions, c)
        latents = []
        for action in actions.unbind(dim=1):
            z = self.dynamics(z, action, c)
            latents.append(z)
        return torch.stack(latents, dim=1)
