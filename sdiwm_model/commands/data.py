"""Folders of episode shards: what is in them, whether every byte is as written, and how they come
from and go to the formats of other programs.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from sdiwm_model.errors import SdiwmError

HELP = "describe, verify, import and export folders of episodes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    described = "print counts, behaviours, shapes and provenance from the manifest, or see more"
    info = actions.add_parser("info", help=described, description=described)
    info.add_argument("--json", action="store_true", help="print the whole manifest as JSON")
    info.add_argument(
        "--histograms", action="store_true",
        help="of lengths (steps), brightness (0 to 255), actions and more, of some episodes",
    )  # fmt: skip
    info.add_argument(
        "--contact-sheet", type=Path, metavar="FILE",
        help="draw pictures of some episodes and the histograms as a PNG; for one folder",
    )  # fmt: skip
    read = "read every byte and episode; name every damaged file, and what is hurt in it"
    verify = actions.add_parser("verify", help=read, description=read)
    for action in (info, verify):
        action.add_argument("folder", nargs="+", type=Path, help="folder of episodes")
    turned = "turn recordings of other programs into a folder of episodes that `train` reads"
    imported = actions.add_parser("import", help=turned, description=turned)
    imported.add_argument("source", nargs="+", type=Path, help="recording, e.g. a bag's folder")
    imported.add_argument(
        "--config", type=Path, metavar="FILE",
        help="what means what, and facts of the task: config/import/reach.yaml for a ROS bag, "
        "config/import/video.yaml for videos, "
        "config/import/columns.yaml for data sets, which mostly tell it themselves",
    )  # fmt: skip
    imported.add_argument(
        "--format", default="", metavar="NAME", help="of the source; default: found by looking"
    )
    imported.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    imported.add_argument(
        "--namespace", default="", metavar="NAME", help="in front of the config's relative topics"
    )
    imported.add_argument(
        "--ray", action="store_true",
        help="decode video on the Ray cluster that RAY_ADDRESS names, else on one of this machine",
    )  # fmt: skip
    given = "write folders of episodes in another program's format"
    exported = actions.add_parser("export", help=given, description=given)
    exported.add_argument("folder", nargs="+", type=Path, help="folder of episodes")
    exported.add_argument("--format", required=True, metavar="NAME", help="e.g. lerobot-v3")
    exported.add_argument("--out", type=Path, required=True, metavar="PATH", help="what to make")
    exported.add_argument(
        "--lossless", action="store_true", help="pictures bit for bit, where video would lose"
    )
    saved = "save what a killed recorder has written into a new bag"
    mended = actions.add_parser("mend", help=saved, description=saved)
    mended.add_argument("bag", type=Path, help="folder of the unfinished bag, or its .mcap file")
    mended.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")


def run(args: argparse.Namespace) -> int:
    """Run the chosen action on every folder; the first damaged one ends it with an error."""
    if args.action == "import":
        return _import(args)
    if args.action == "export":
        return _export(args)
    if args.action == "mend":
        from sdiwm_model.data.importers.mend import mend

        print(f"{args.out}: {mend(args.bag, args.out)} messages saved")
        return 0
    from sdiwm_model.data.shards import read_manifest
    from sdiwm_model.data.verify import verify

    for folder in args.folder:
        if args.action == "verify":
            manifest = verify(folder)
            print(
                f"{folder}: sound; {manifest['episodes']} episodes, {manifest['frames']} frames, "
                f"{len(manifest['shards'])} shards"
            )
        else:
            _info(args, folder, read_manifest(folder))
    return 0


def _info(args: argparse.Namespace, folder: Path, manifest: dict) -> None:
    from sdiwm_model.data.describe import look, write_contact_sheet

    if args.contact_sheet is not None and len(args.folder) > 1:
        raise SdiwmError("--contact-sheet is drawn of one folder; name a single one")
    seen = look(folder) if args.histograms else None
    if args.json:
        print(json.dumps(manifest | ({"look": seen.as_json()} if seen else {}), indent=2))
    else:
        _describe(folder, manifest)
        if seen is not None:
            print(f"  histograms of {seen.episodes} episodes; lengths of all")
            for each in seen.histograms:
                print(f"    {each.line()}")
            shown = list(seen.instructions.items())[:10]
            print(f"  instructions {len(seen.instructions)}, most often:")
            for sentence, count in shown:
                print(f"    {count:>4} {sentence!r}")
    if args.contact_sheet is not None:
        write_contact_sheet(folder, args.contact_sheet)
        print(f"contact sheet: {args.contact_sheet}", file=sys.stderr)


def _import(args: argparse.Namespace) -> int:
    from sdiwm_model.data.importers.convert import convert
    from sdiwm_model.data.importers.protocols import ImportOptions

    options = ImportOptions(args.config, args.namespace, args.ray)
    command = shlex.join(["sdiwm", *sys.argv[1:]])
    manifest = convert(args.source, options, args.out, command, args.format)
    for reason in manifest["failures"]:
        print(f"left out: {reason}", file=sys.stderr)
    for note in manifest["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(
        f"{args.out}: {manifest['episodes']} episodes, {manifest['frames']} frames; "
        f"{len(manifest['failures'])} parts left out"
    )
    return 0


def _export(args: argparse.Namespace) -> int:
    from sdiwm_model.data.importers.export import export
    from sdiwm_model.data.importers.protocols import ExportOptions

    episodes, lost = export(args.folder, args.format, args.out, ExportOptions(args.lossless))
    for what in lost:
        print(f"not in {args.out}: {what}", file=sys.stderr)
    print(f"{args.out}: {episodes} episodes")
    return 0


def _describe(folder: Path, manifest: dict) -> None:
    size = sum(shard["bytes"] for shard in manifest["shards"]) / 1e6
    rows = {
        "task": manifest["task"].get("name", "unnamed"),
        "episodes": manifest["episodes"],
        "frames": manifest["frames"],
        "shards": f"{len(manifest['shards'])} ({size:.1f} MB)",
        "behaviours": ", ".join(f"{k} {n}" for k, n in manifest["behaviours"].items()),
        "sources": ", ".join(f"{n} {k}" for k, n in manifest.get("sources", {}).items()),
        "failures": len(manifest["failures"]),
        "notes": len(manifest.get("notes", ())),
        "shapes": ", ".join(f"{k} {v}" for k, v in manifest["spec"].items()),
        "provenance": json.dumps(manifest["provenance"]),
    }
    print(folder)
    for name, value in rows.items():
        if value != "":
            print(f"  {name:<11}{value}")
