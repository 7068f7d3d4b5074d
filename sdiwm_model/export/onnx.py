"""A trained world model as ONNX graphs, each compared with torch before it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.quiet import quiet_exporter
from sdiwm_model.files import atomic_path
from sdiwm_model.runtime.session import open_session
from sdiwm_model.world_model import WorldModel

OPSET = 18
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Graph:
    """What one ONNX file holds: a module, its named inputs and outputs, and its free axes.

    free     input name -> {axis: name of the dimension that may vary}
    sizes    name of a free dimension -> the sizes that are tried in the comparison
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    free: dict[str, dict[int, str]]


class _Step(nn.Module):
    """z, a, c -> next z, and cost and value *of the next z*; of an ensemble, its disagreement."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, a: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        c = c.expand(z.shape[0], -1)
        following = self.model.dynamics(z, a, c)
        costs = self.model.cost.all(following, c)
        outputs = following, costs.mean(dim=-1), self.model.value(following, c)
        if self.model.size.ensemble == 1:
            return outputs
        return (*outputs, costs.std(dim=-1, unbiased=False))


class _Heads(nn.Module):
    """z, c -> cost, value."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        c = c.expand(z.shape[0], -1)
        return self.model.cost(z, c), self.model.value(z, c)


def graphs(model: WorldModel, candidates: int = 3, length: int = 7) -> dict[str, Graph]:
    """The files of a bundle by name, with random inputs of `candidates` rows and `length` tokens.

    vision      image uint8 (1, H, W, 3 * cameras) -> features (1, E)
    fusion      features (1, frames * E), proprio (1, P) -> z (1, Z)
    step        z (N, Z), a (N, A), c (1, C) -> next_z (N, Z), its cost (N,) and value (N,), and
                where there are several cost heads their disagreement (N,), a standard deviation
    heads       z (N, Z), c (1, C) -> cost (N,), value (N,)
    prior       z (1, Z), c (1, C) -> actions (1, H, A); only where the model has a prior
    language    tokens (1, L, width), mask bool (1, L) -> c (1, C), grounding (1, goals + 1)
    goal_image  features (1, E) of a picture of the goal -> c (1, C), in place of language
    """
    size = model.size
    draw = torch.Generator().manual_seed(candidates * 1000 + length)

    def uniform(*shape: int) -> Tensor:
        return 2.0 * torch.rand(shape, generator=draw) - 1.0

    edge = size.image_size
    image = torch.randint(256, (1, edge, edge, 3 * size.cameras), generator=draw).to(torch.uint8)
    z, c = uniform(candidates, size.latent), uniform(1, size.conditioning)
    seen = uniform(1, size.frames * size.features)
    joints = {"features": seen, "proprio": uniform(1, size.proprio)}
    step = {"z": z, "a": uniform(candidates, size.action), "c": c}
    rows, words = {0: "candidates"}, {1: "length"}
    spread = ("disagreement",) if size.ensemble > 1 else ()
    stepped = ("next_z", "cost", "value", *spread)
    found = {
        "vision": Graph(model.vision, {"image": image}, ("features",), {}),
        "fusion": Graph(model.fusion, joints, ("z",), {}),
        "step": Graph(_Step(model), step, stepped, {"z": rows, "a": rows}),
        "heads": Graph(_Heads(model), {"z": z, "c": c}, ("cost", "value"), {"z": rows}),
    }
    if model.prior is not None:
        found["prior"] = Graph(model.prior, {"z": z[:1], "c": c}, ("actions",), {})
    if model.goal_image is not None:
        goal = {"features": uniform(1, size.features)}
        found["goal_image"] = Graph(model.goal_image, goal, ("c",), {})
    if model.language is not None:
        tokens = uniform(1, length, model.language.query.in_features)
        mask = torch.arange(length).unsqueeze(0) < max(1, length - 2)
        said, free = {"tokens": tokens, "mask": mask}, {"tokens": words, "mask": words}
        found["language"] = Graph(model.language, said, ("c", "grounding"), free)
    return found


def export_onnx(folder: Path, model: WorldModel) -> dict[str, float]:
    """Write the files of `graphs` into `folder` as NAME.onnx; the largest error of each.

    Every graph is run by ONNX Runtime on other inputs and sizes than it was traced with, and
    nothing is kept that differs from torch by more than 1e-4 (SdiwmError).
    """
    errors = {}
    with _evaluating(model):
        for name, graph in graphs(model).items():
            with atomic_path(folder / f"{name}.onnx") as written:
                write_graph(written, graph)
                errors[name] = max(
                    _largest_error(written, graphs(model, *shape)[name])
                    for shape in ((1, 2), (64, 32), (512, 5))
                )
                if not errors[name] <= TOLERANCE:
                    raise SdiwmError(
                        f"{name}.onnx differs from torch by {errors[name]:.2g} (allowed "
                        f"{TOLERANCE:g}): nothing was written; the weights may be damaged."
                    )
    return errors


@contextmanager
def _evaluating(model: WorldModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def write_graph(path: Path, graph: Graph) -> None:
    """Write one graph as ONNX, unchecked."""
    dimensions = {
        name: torch.export.Dim(name, min=1)
        for axes in graph.free.values()
        for name in axes.values()
    }
    shapes = {
        name: {axis: dimensions[d] for axis, d in graph.free[name].items()}
        if name in graph.free
        else None
        for name in graph.inputs
    }
    with quiet_exporter():
        torch.onnx.export(
            graph.module.eval(), tuple(graph.inputs.values()), path, dynamo=True, verbose=False,
            opset_version=OPSET, input_names=list(graph.inputs), output_names=list(graph.outputs),
            dynamic_shapes=tuple(shapes.values()), external_data=False,
        )  # fmt: skip


def _largest_error(path: Path, graph: Graph) -> float:
    expected = graph.module(*graph.inputs.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    feeds = {name: tensor.numpy() for name, tensor in graph.inputs.items()}
    found = open_session(path).run(list(graph.outputs), feeds)
    differences = [np.abs(f - e.numpy()).max() for f, e in zip(found, expected, strict=True)]
    return float(np.max(differences))
