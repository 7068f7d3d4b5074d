"""One command from a trained run to a bundle with C++ and a model card."""

import json
import shutil
import subprocess
from dataclasses import asdict, replace

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from sdiwm_model.checkpoint import WEIGHTS, load_model, read_manifest, write_manifest
from sdiwm_model.cli import main
from sdiwm_model.compression import deploy, search
from sdiwm_model.compression.pipeline import Source, run_steps
from sdiwm_model.compression.recipe import load_recipe
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.card import read_card
from sdiwm_model.export.card_text import render
from sdiwm_model.export.sources import COMPILE
from sdiwm_model.files import sha256_of_file
from sdiwm_model.runtime.native import Library, NativeEngine
from sdiwm_model.training import finish
from sdiwm_model.training.finish import CALIBRATION


@pytest.fixture
def run(random_bundle, calibration, tmp_path, monkeypatch):
    """A run of random weights, and a calibration that takes no time."""
    for name, value in {"CANDIDATES": {}, "ROUNDS": 1, "STARTS": 8, "SETS": 8}.items():
        monkeypatch.setattr(search, name, value)
    monkeypatch.setattr(deploy, "BOARD_OF", {})  # test_targets has those
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copyfile(random_bundle / WEIGHTS, folder / WEIGHTS)
    save_file(asdict(calibration), folder / CALIBRATION)
    write_manifest(folder, read_manifest(random_bundle))
    return folder


@pytest.fixture
def recipe(tmp_path):
    def written(*steps, **more):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({"steps": list(steps)} | more))
        return str(path)

    return written


def test_a_bundle_its_cpp_and_its_card_come_of_one_command(run, recipe, tmp_path, capsys):
    out = tmp_path / "bundle"
    path = recipe({"planner": {"candidates": 64, "horizon": 5}}, formats=["cpp", "dynamic"])
    arguments = ["compress", "--model", str(run), "--recipe", path, "--out", str(out)]
    assert main(arguments) == 0
    assert "MODEL_CARD.md" in capsys.readouterr().out
    manifest = read_manifest(out)
    assert (manifest.planner.candidates, manifest.planner.horizon) == (64, 5)
    _check_card(out, run)
    _check_sources(out)
    (out / "notes.txt").write_text("mine")
    assert main(arguments) == 2
    assert "notes.txt, which is no part of a bundle" in capsys.readouterr().err


def _check_card(out, run):
    card = read_card(out)
    model, manifest = load_model(out)
    assert card.model_hash == manifest.model_hash
    assert card.parameters == sum(p.numel() for p in model.parameters())
    assert card.macs["per_plan"] == 64 * 5 * model.size.macs_per_model_step
    for name, told in card.files.items():
        assert told == {
            "bytes": (out / name).stat().st_size,
            "sha256": sha256_of_file(out / name),
        }
    assert {"engine.safetensors", "step.onnx", "cpp/generated/model.cpp"} <= set(card.files)
    assert [stage["step"] for stage in card.stages] == ["source", "planner"]
    assert card.stages[0]["model_hash"] == read_manifest(run).model_hash
    assert card.latency_ms["onnx_dynamic"]["p50"] > 0
    assert 0 < card.latency_ms["native"]["p50"] <= card.latency_ms["native"]["p99"]
    assert card.results is None
    assert "results" in card.notes
    text = (out / "MODEL_CARD.md").read_text()
    for fact in (card.model_hash, "64 candidates x 5 steps", f"{card.parameters:,}", COMPILE):
        assert fact in text
    content = json.loads((out / "model_card.json").read_text())
    (out / "model_card.json").write_text(json.dumps(content | {"model_hash": "0" * 16}))
    with pytest.raises(
        SdiwmError, match=f"is of model {'0' * 16}, the bundle is {card.model_hash}"
    ):
        read_card(out)


def _check_sources(out):
    """The folder compiles without the rest of the project, to what plans the same."""
    subprocess.run(COMPILE, shell=True, cwd=out / "cpp", check=True)
    own = Library(out / "cpp" / "engine.so")
    engine = NativeEngine.load(out)
    x = np.random.default_rng(0).integers(-9000, 9000, 72).astype(np.int16)
    latents = [np.empty(32, np.int16) for _ in range(2)]
    for library, z in zip((own, engine.library), latents, strict=True):
        library.fuse(x.ctypes.data, z.ctypes.data)
    np.testing.assert_array_equal(*latents)


def test_what_the_engine_cannot_plan_is_null_on_the_card_with_the_reason(
    random_bundle, tmp_path, monkeypatch
):
    monkeypatch.setattr(deploy, "BOARD_OF", {})
    bundle = tmp_path / "bundle"
    shutil.copytree(random_bundle, bundle)
    manifest = read_manifest(bundle)
    write_manifest(bundle, replace(manifest, planner=replace(manifest.planner, candidates=4096)))
    card = deploy._card(bundle, [random_bundle], 0, episodes=0, replan="tick")
    assert card.latency_ms["onnx"]["p50"] > 0
    assert card.latency_ms["native"] is None
    assert "the integer engine takes 2048 at most" in card.notes["latency_ms.native"]
    assert "| native | not measured |" in render(card)


def test_steps_follow_one_another_and_are_not_done_twice(
    run, small_data, miniature_settings, recipe, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(finish, "PROBE_STEPS", 2)
    settings = yaml.safe_load("\n".join(each.replace("=", ": ") for each in miniature_settings))
    settings = {k: v for k, v in settings.items() if not k.startswith("size.")}
    settings |= {"language_steps": 0, "size_changes": {"prior": 0}, "world_steps": 4}
    settings |= {"distillation": {"plans": 4, "batch": 4, "searched": 8, "ranked": 4, "sets": 2}}
    prune = {"ratio": 0.5, "rounds": 1, "vision_updates": 2, "world_updates": 2, "batches": 1}
    steps = [
        {"distil": settings},
        {"prune": prune | {"prior_plans": 0}},
        {"planner": {"beta": 0.5}},
    ]
    path = recipe(*steps)
    source = Source(run, (small_data,), 3)
    after = load_recipe(path, "reach").single.foresee(source.foreseen())
    folders = run_steps(load_recipe(path, "reach").single.steps, source, tmp_path / "work")
    manifest = read_manifest(folders[-1])
    assert manifest.sizes == after.sizes
    assert manifest.planner == after.planner
    assert manifest.sizes.latent == 16
    provenance = manifest.provenance
    assert provenance["distil"]["of"] == read_manifest(run).model_hash
    assert provenance["prune"]["of"] == read_manifest(folders[0]).model_hash
    assert provenance["planner"]["of"] == read_manifest(folders[1]).model_hash
    capsys.readouterr()
    other = recipe(*steps[:-1], "calibrate")
    again = run_steps(load_recipe(other, "reach").single.steps, source, tmp_path / "work")
    assert again[:2] == folders[:2]
    assert capsys.readouterr().out.count("step ") == 1  # of three: the others were there
    assert (again[2] / CALIBRATION).is_file()


@pytest.mark.parametrize(
    ("steps", "more", "sentence"),
    [
        (["calibrate"], [], "step 'calibrate' learns from episodes: name some with --data"),
        ([{"prune": {"ratio": 0.99}}], ["data"], "leaves none of the"),
        (["fine_tune"], ["--episodes", "-1"], "--episodes is -1"),
        (["fine_tune"], ["--json", "found.json"], "--json is for what --under found"),
        (["fine_tune"], ["--under", "speed=1"], "there is no constraint 'speed'"),
        (["fine_tune"], ["--under", "plan_ms=fast"], "'fast' is no number above 0"),
        ([{"planner": {"horizon": {"choose": [4, 5]}}}], [], "leaves 2 recipes to choose from"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    run, recipe, small_data, tmp_path, capsys, steps, more, sentence
):
    more = ["--data", str(small_data)] if more == ["data"] else more
    out = tmp_path / "bundle"
    arguments = ["compress", "--model", str(run), "--recipe", recipe(*steps), "--out", str(out)]
    assert main([*arguments, *more]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml", "run"]
