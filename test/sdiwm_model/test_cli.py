"""The front door: fast, complete, and clear about what is missing."""

import resource
import signal
import subprocess
import sys
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest

from sdiwm_model import cli
from sdiwm_model.errors import SdiwmError
from sdiwm_model.plugins import Plugin, discover


def install(monkeypatch, run):
    module = SimpleNamespace(
        __doc__="A command.", HELP="a command", add_arguments=lambda parser: None, run=run
    )
    monkeypatch.setattr(cli, "discover", lambda group: {"try": Plugin("try", lambda: module)})


def raising(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (SdiwmError("weights are gone; fetch them"), "weights are gone; fetch them"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "'torch' is not installed"),
        (ImportError("no libtorch.so", name="torch._C"), "'torch' does not load (no libtorch.so)"),
        (FileNotFoundError(2, "No such file", "x.json"), "No such file: 'x.json'; check the path"),
        (OSError(28, "No space left on device"), "No space left on device; free some space there"),
        (PermissionError(13, "Permission denied", "x"), "denied: 'x'; change its permissions, or"),
    ],
)
def test_an_expected_failure_is_one_sentence_and_status_2(monkeypatch, capsys, error, sentence):
    install(monkeypatch, raising(error))
    assert cli.main(["try"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("sdiwm: error: ")
    assert sentence in printed
    assert printed.count("\n") == 1


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch, capsys):
    install(monkeypatch, raising(ModuleNotFoundError("No module named 'rclpy'", name="rclpy")))
    assert cli.main(["try"]) == 2
    assert "pip install -c constraints.txt '.[ros]'" in capsys.readouterr().err


def test_a_defect_of_this_program_keeps_its_traceback(monkeypatch):
    install(monkeypatch, raising(ModuleNotFoundError("No module", name="sdiwm_model.nothing")))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["try"])


def test_an_interruption_is_status_130(monkeypatch):
    install(monkeypatch, raising(KeyboardInterrupt()))
    assert cli.main(["try"]) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_cleans_up_as_an_interruption_does(monkeypatch, number):
    cleaned = []

    def work(args):
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(number)

    install(monkeypatch, work)
    assert cli.main(["try"]) == 130
    assert cleaned == [number]
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_hang_up_that_is_ignored_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        install(monkeypatch, lambda args: signal.raise_signal(signal.SIGHUP))
        assert cli.main(["try"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_unknown_command_is_refused_with_the_known_ones(monkeypatch, capsys):
    install(monkeypatch, lambda args: 0)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["fly"])
    assert exit_.value.code == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


def test_a_broken_command_does_not_hide_the_others(monkeypatch, capsys):
    sound = SimpleNamespace(HELP="works")
    commands = {
        "broken": Plugin("broken", lambda: raising(ImportError("no name 'x'"))(None)),
        "sound": Plugin("sound", lambda: sound),
    }
    monkeypatch.setattr(cli, "discover", lambda group: commands)
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    assert "unavailable: ImportError: no name 'x'" in " ".join(printed.split())
    assert "works" in printed


@pytest.mark.parametrize("group", [cli.GROUP, "sdiwm.benches"])
def test_every_registered_part_loads_and_has_the_agreed_shape(group):
    for plugin in discover(group).values():
        module = plugin.load()
        assert module.HELP
        module.add_arguments(ArgumentParser())
        assert callable(module.run)
        assert group == cli.GROUP or callable(module.print_table)


def test_help_answers_within_a_fifth_of_a_second():
    """Processor time, interpreter included: wall time would also count a busy machine."""
    command = [sys.executable, "-c", "import sdiwm_model.cli as c; c.main(['--help'])"]
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.2


def test_listing_the_commands_imports_nothing_heavy():
    code = (
        "import sys, sdiwm_model.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'mujoco', 'rclpy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
