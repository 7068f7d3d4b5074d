"""A bundle made today loads tomorrow, and gives the same numbers.

`python test/sdiwm_model/test_golden_bundle.py` made golden/version_1.zip. It is never made again:
the next format version adds a file of its own.
"""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sdiwm_model.checkpoint import (
    MANIFEST,
    WEIGHTS,
    Manifest,
    _checksum,
    read_manifest,
    save_weights,
    write_manifest,
)
from sdiwm_model.compression.quantised_model import load_engine
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import ENGINE, export_bundle
from sdiwm_model.export.encoder import IntegerSight, load_encoder
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.sizes import ModelSize
from sdiwm_model.training.finish import CALIBRATION, PICTURES

ARCHIVE = Path(__file__).parent / "golden" / "version_1.zip"
GIVEN, FOUND = "given.json", "found.json"
EXACT = {"native": ("rollout", "plan"), "chip": ("fusion_inputs",)}
SIZE = ModelSize(
    image_size=16, channels=(4, 4), keypoints=4, latent=8, conditioning=4, goals=1, fusion=(8, 8),
    dynamics=8, head=8, prior=8, plan_horizon=4, goal_image=True, proprio=2, action=2, state=3,
)  # fmt: skip


def figures(bundle, given):
    """What every back end on this machine makes of the given inputs, as lists."""
    inputs = {name: np.array(value, np.float32) for name, value in given.items()}
    picture = np.array(given["picture"], np.uint8)
    found = {}
    for backend in ("torch", "onnx", "native"):
        runtime = load_runtime(bundle, backend)
        planner = runtime.make_planner(runtime.manifest.planner, 0)
        found[backend] = {
            "features": runtime.encode_image(picture),
            "latent": runtime.fuse(inputs["features"], inputs["proprio"]),
            "told": runtime.condition_image(picture),
            "rollout": runtime.rollout(inputs["z"], inputs["actions"], inputs["c"]),
            "plan": planner.plan(inputs["z"], inputs["c"], None).actions,
            "probe": runtime.probe(inputs["z"]),
        }
    q = load_engine(bundle / ENGINE)
    sight = IntegerSight(load_encoder(bundle, q), q)
    sight.see(picture)
    found["chip"] = {"fusion_inputs": sight.fusion_inputs(inputs["proprio"])}
    return {
        where: {name: values.tolist() for name, values in each.items()}
        for where, each in found.items()
    }


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """(bundle, inputs, what they gave) of format version 1."""
    folder = tmp_path_factory.mktemp("golden")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder / "bundle", *(json.loads((folder / name).read_text()) for name in (GIVEN, FOUND))


def test_version_1_gives_the_numbers_that_it_gave(golden):
    bundle, given, then = golden
    now = figures(bundle, given)
    for where, each in then.items():
        for name, values in each.items():
            found = np.array(now[where][name])
            assert np.ptp(np.array(values)) > 0
            if name in EXACT.get(where, ()):
                np.testing.assert_array_equal(found, values, err_msg=f"{where} {name}")
            else:
                np.testing.assert_allclose(found, values, atol=1e-3, err_msg=f"{where} {name}")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (
            2,
            "was made by a newer release: .* 2, this release reads 1; upgrade sdiwm_ros, or export",
        ),
        (0, "format_version is 0, this release reads 1"),
        ("1", "format_version is '1', this release reads 1"),
        (True, "format_version is True, this release reads 1"),
        (None, "format_version is None, this release reads 1"),
    ],
)
def test_other_versions_of_a_bundle_are_refused(golden, tmp_path, version, said):
    """Before anything else of it is read: a newer one may hold fields that nobody here knows."""
    bundle = tmp_path / "bundle"
    shutil.copytree(golden[0], bundle)
    content = json.loads((bundle / MANIFEST).read_text())
    del content["checksum"]
    content |= {"format_version": version, "field_of_the_future": 1}
    content["checksum"] = _checksum(content)
    (bundle / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(SdiwmError, match=said):
        read_manifest(bundle)


@pytest.mark.parametrize("name", ["engine.safetensors", "encoder.safetensors"])
def test_newer_engines_and_encoders_are_refused(golden, tmp_path, name):
    whole = (golden[0] / name).read_bytes()
    (tmp_path / name).write_bytes(
        whole.replace(b'"format_version":"1"', b'"format_version":"2"', 1)
    )
    with pytest.raises(SdiwmError, match=r"was made by a newer release: .* 2, .*upgrade sdiwm_ros"):
        if name.startswith("engine"):
            load_engine(tmp_path / name)
        else:
            load_encoder(tmp_path, load_engine(golden[0] / "engine.safetensors"))


def _make():
    import torch

    from sdiwm_model.text_encoder import TextEncoder
    from sdiwm_model.world_model import WorldModel

    rng = np.random.default_rng(0)

    def uniform(*shape):
        return rng.uniform(-1, 1, shape).astype(np.float32)

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        run, bundle = Path(folder) / "run", Path(folder) / "bundle"
        save_weights(run / WEIGHTS, WorldModel(SIZE))
        tensors = {
            "latents": uniform(32, 8), "actions": uniform(32, 8, 2), "conditionings": uniform(2, 4),
            "features": uniform(32, 8), "proprio": uniform(32, 2),
            PICTURES: rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8),
        }  # fmt: skip
        save_file(tensors, run / CALIBRATION)
        manifest = Manifest(
            task="reach_goal_image", size="golden", sizes=SIZE, dt=0.04, goals=("picture",),
            action_limit=(1.5, 1.5), planner=PlannerSettings(candidates=16, horizon=5),
            text_encoder=TextEncoder().describe(),
        )  # fmt: skip
        write_manifest(run, manifest)
        export_bundle(run, bundle, seed=0)
        given = {
            "picture": rng.integers(0, 256, (16, 16, 3)).tolist(), "features": uniform(8).tolist(),
            "proprio": uniform(2).tolist(), "z": uniform(8).tolist(), "c": uniform(4).tolist(),
            "actions": uniform(5, 2).tolist(),
        }  # fmt: skip
        ARCHIVE.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(ARCHIVE, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(bundle.iterdir()):
                archive.write(path, f"bundle/{path.name}")
            archive.writestr(GIVEN, json.dumps(given))
            archive.writestr(FOUND, json.dumps(figures(bundle, given)))


if __name__ == "__main__":
    _make()
