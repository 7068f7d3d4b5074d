"""A bundle's C++: the generated model and encoder, and the kernels and the planner they need."""

from __future__ import annotations

import shutil
from pathlib import Path

from sdiwm_model.compression.quantised_model import load_engine
from sdiwm_model.export.codegen import generate
from sdiwm_model.export.encoder import generate_encoder, load_encoder
from sdiwm_model.runtime.build import sources

CPP = "cpp"
GENERATED = "generated"
LIBRARY = ("kernels", "planner", "sight", "boards/host")
COMPILE = (
    "g++ -std=c++17 -O2 -march=native -fPIC -shared -Igenerated -Ikernels boards/host/*.cpp "
    "generated/*.cpp -o engine.so"
)
COMPILE_NOTE = (
    "in the folder cpp; boards/host/engine.cpp is the C interface, of which a firmware includes "
    "planner/ and sight/ alone"
)


def write_sources(bundle: Path) -> Path:
    """Write the folder `cpp` of an exported bundle with an engine; it depends on nothing else."""
    folder = bundle / CPP
    q = load_engine(bundle / "engine.safetensors")
    made = generate(q) | generate_encoder(load_encoder(bundle, q))
    (folder / GENERATED).mkdir(parents=True)
    for name, text in made.items():
        (folder / GENERATED / name).write_text(text, encoding="utf-8")
    for part in LIBRARY:
        for path in sorted((sources() / part).rglob("*.[hc]pp")):
            copied = folder / path.relative_to(sources())
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)
    return folder
