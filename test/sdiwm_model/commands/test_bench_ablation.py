"""Every variant is a configuration that can be trained, and a wrong name is refused at once."""

import pytest

from sdiwm_model.cli import main
from sdiwm_model.commands.bench_ablation import VARIANTS
from sdiwm_model.training.config import configure


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_differs_from_the_others_as_its_settings_say(name):
    common = ["size.prior=0", "prior_plans=0"]
    others = [VARIANTS[other] for other in VARIANTS if other != name]
    found = configure([*common, *VARIANTS[name]], "reach")
    assert all(found != configure([*common, *settings], "reach") for settings in others)


def test_an_unknown_variant_is_refused_before_anything_is_trained(tmp_path, capsys):
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "runs"), "--variants", "K = 0"]
    assert main(["bench", "ablation", *arguments]) == 2
    assert "'K = 0' is unknown: choose from as configured" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
