"""`sdiwm bench` prints a table and writes what the figures depend on."""

import json
from types import SimpleNamespace

import pytest

from sdiwm_model import cli
from sdiwm_model.commands import bench
from sdiwm_model.plugins import Plugin


@pytest.fixture(autouse=True)
def fake_bench(monkeypatch):
    def add_arguments(parser):
        parser.add_argument("--episodes", type=int, default=3)

    fake = SimpleNamespace(
        HELP="measures 100 % of nothing",
        add_arguments=add_arguments,
        run=lambda args: {
            "episodes": args.episodes,
            "hz": float("inf"),
            "notes": {"mcu": "no board"},
        },
        print_table=lambda results: print("table of", results["episodes"]),
    )

    def broken():
        raise ImportError("no module x")

    plugins = {"fake": Plugin("fake", lambda: fake), "broken": Plugin("broken", broken)}
    monkeypatch.setattr(bench, "discover", lambda group: plugins)


def test_the_report_holds_results_seeds_and_reasons(tmp_path, capsys):
    path = tmp_path / "deep" / "report.json"
    arguments = ["--json", str(path), "--seeds", "4", "5", "--episodes", "7"]
    assert cli.main(["bench", "fake", *arguments]) == 0
    report = json.loads(path.read_text())
    assert (report["bench"], report["seeds"]) == ("fake", [4, 5])
    assert report["results"] == {"episodes": 7, "hz": None}
    assert set(report["notes"]) == {"mcu", "hz"}
    printed = capsys.readouterr().out
    assert "table of 7" in printed
    assert "note: mcu: no board" in printed


def test_without_json_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "fake"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    assert cli.main(["bench", "fake", "--json", str(tmp_path)]) == 2
    assert "is a folder; name a file" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", ["-1", "x", "4294967296"])
def test_a_seed_out_of_range_is_refused(seeds, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bench", "fake", f"--seeds={seeds}"])
    assert exit_.value.code == 2
    assert "--seeds" in capsys.readouterr().err


def test_a_broken_bench_is_listed_with_its_reason(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bench", "--help"])
    assert exit_.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "broken unavailable: ImportError: no module x" in printed
    assert "measures 100 % of nothing" in printed
