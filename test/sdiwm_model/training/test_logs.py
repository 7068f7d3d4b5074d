"""Losses reach TensorBoard always, and W&B where it is asked for."""

import sys

import pytest
import wandb

from sdiwm_model.errors import SdiwmError
from sdiwm_model.training.logs import Logs, check_logging


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """W&B as on a machine without network, account or home."""
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def test_scalars_are_read_back_from_tensorboard(tmp_path, scalars):
    with Logs(tmp_path, "off", {}) as log:
        log.write("world", {"cost": 0.5, "drift": 0.25}, 20)
        log.flush()
        assert scalars(tmp_path) == {("world/cost", 20): 0.5, ("world/drift", 20): 0.25}
        log.write("world", {"cost": 0.125}, 40)
    assert scalars(tmp_path)["world/cost", 40] == 0.125
    assert not (tmp_path / "wandb").exists()


def test_an_offline_run_of_wandb_lies_in_the_folder_of_the_run(tmp_path, alone, scalars):
    run = tmp_path / "run"
    with Logs(run, "offline", {"seed": 3}) as log:
        log.write("world", {"cost": 0.5}, 20)
    (stored,) = run.glob("wandb/offline-run-*/run-*.wandb")
    assert b"world/cost" in stored.read_bytes()
    assert scalars(run) == {("world/cost", 20): 0.5}


def test_wandb_that_does_not_start_is_one_sentence(tmp_path, monkeypatch):
    def refuse(**settings):
        assert settings["mode"] == "online"
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(SdiwmError, match=r"'wandb' is 'online', .*No API key.*wandb=offline"):
        Logs(tmp_path, "online", {})


def test_wandb_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    check_logging("off")
    with pytest.raises(SdiwmError, match=r"'wandb' is 'offline', .* not installed: `pip install"):
        check_logging("offline")
