"""`sdiwm doctor` tries parts, and says how to get what is missing."""

import pytest

from sdiwm_model import cli
from sdiwm_model.commands import doctor
from sdiwm_model.commands.doctor import Check, MissingError


def missing() -> str:
    raise MissingError("the package x is not installed")


def use(monkeypatch, *checks):
    monkeypatch.setattr(doctor, "checks", lambda: list(checks))


def test_a_missing_part_that_is_needed_is_status_1_with_its_remedy(monkeypatch, capsys):
    use(
        monkeypatch,
        Check("here", lambda: "1.0", ("demo",), "-"),
        Check("gone", missing, ("demo",), "`pip install x`"),
    )
    assert cli.main(["doctor", "--for", "demo"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "here", "1.0"]
    assert lines[1].startswith("MISSING")
    assert lines[1].endswith("the package x is not installed; `pip install x`")


def test_a_missing_part_that_the_use_does_not_need_is_optional(monkeypatch, capsys):
    use(monkeypatch, Check("gone", missing, ("train",), "`pip install x`"))
    assert cli.main(["doctor", "--for", "robot"]) == 0
    assert capsys.readouterr().out.startswith("optional")


def test_a_part_that_fails_to_load_is_missing_with_the_last_line_it_said():
    with pytest.raises(MissingError, match=r"^RuntimeError: broken wheel$"):
        doctor._python_probe("raise RuntimeError('broken wheel')")


def test_a_part_that_crashes_is_missing_too():
    with pytest.raises(MissingError, match="exit status -6"):
        doctor._python_probe("import os; os.abort()")


def test_rendering_without_a_gl_library_is_missing(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(doctor, "GL_PROBE", "raise ImportError('no libOSMesa')")
    with pytest.raises(MissingError, match="osmesa: ImportError: no libOSMesa"):
        doctor._rendering()


def test_a_compiler_that_does_not_compile_is_missing(monkeypatch, tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'cc1plus: not found' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(MissingError, match="cc1plus: not found"):
        doctor._compiler()


def test_every_part_of_a_set_up_machine_is_found(capsys):
    """What `make` sets up is complete; weights are the repository's."""
    found = cli.main(["doctor"])
    printed = capsys.readouterr().out
    assert "MISSING" not in printed, printed
    assert found == 0
