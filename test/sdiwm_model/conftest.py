"""A small data set of the real task, and settings for runs of seconds on it."""

import pytest


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """Six episodes of 30 model steps, through the command that users type."""
    from sdiwm_model.cli import main

    folder = tmp_path_factory.mktemp("data") / "reach"
    arguments = ["collect", "--task", "reach", "--episodes", "6", "--steps", "30"]
    assert main([*arguments, "--seed", "7", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def miniature_settings():
    """What --set is given for a run that takes seconds."""
    return [
        "size=miniature",
        "language_steps=30",
        "vision_steps=12",
        "world_steps=20",
        "vision_batch=16",
        "world_batch=8",
        "horizon=4",
        "long_horizon=8",
        "save_every=5",
        "size.prior=0",
        "prior_plans=0",
    ]


@pytest.fixture
def miniature(miniature_settings):
    """The same as a configuration, without the language stage: embedding sentences takes long."""
    from sdiwm_model.training.config import configure

    return configure([*miniature_settings, "language_steps=0"])


@pytest.fixture
def scalars():
    """Reads all the scalars of a run's TensorBoard folder: {(name, update): value}."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    def read(run):
        return {
            (value.tag, event.step): value.tensor.float_val[0]
            for file in sorted((run / "tensorboard").iterdir())
            for event in EventFileLoader(str(file)).Load()
            for value in event.summary.value
        }

    return read


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory):
    """Four demonstrations of 30 model steps, and two episodes that are none."""
    from sdiwm_model.cli import main

    folder = tmp_path_factory.mktemp("demonstrations") / "reach"
    arguments = ["collect", "--task", "reach", "--episodes", "6", "--steps", "30", "--seed", "10"]
    mixture = ["--mixture", "demonstration=0.6,random=0.4"]
    assert main([*arguments, *mixture, "--out", str(folder)]) == 0
    return folder
