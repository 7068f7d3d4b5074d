"""Measure one thing, print it as a table and, with --json, write it with all it depends on."""

import argparse
import shlex
import sys
from pathlib import Path

from sdiwm_model.commands.arguments import seed
from sdiwm_model.files import check_writable
from sdiwm_model.plugins import discover

HELP = "measure control, ROS timing, prediction horizon or planning latency"
GROUP = "sdiwm.benches"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-parser per registered bench, each with the bench's own arguments."""
    benches = parser.add_subparsers(title="benches", dest="bench", metavar="NAME", required=True)
    for name, plugin in discover(GROUP).items():
        line = plugin.help_line()
        sub = benches.add_parser(
            name,
            help=line.replace("%", "%%"),
            description=line.replace("%", "%%"),
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.add_argument("--json", type=Path, metavar="FILE", help="also write the report here")
        sub.add_argument(
            "--seeds", type=seed, nargs="+", default=[0, 1, 2], metavar="N", help="seeds to run"
        )
        try:
            module = plugin.load()
        except ImportError:
            continue  # its help line says why; choosing it raises the same error
        module.add_arguments(sub)


def run(args: argparse.Namespace) -> int:
    """Run the chosen bench, print its table and write its report."""
    bench = discover(GROUP)[args.bench].load()
    if args.json is not None:
        check_writable("--json", args.json)
    from sdiwm_model.report import build_report, write_json

    results = dict(bench.run(args))
    notes = results.pop("notes", None)
    report = build_report(
        args.bench, shlex.join(["sdiwm", *sys.argv[1:]]), args.seeds, results, notes
    )
    bench.print_table(report["results"])
    for key, reason in report.get("notes", {}).items():
        print(f"note: {key}: {reason}")
    if args.json is not None:
        write_json(args.json, report)
        print(f"report: {args.json}")
    return 0
