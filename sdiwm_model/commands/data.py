"""Look at folders of episode shards: what is in them, and whether every byte is as written."""

import argparse
import json
from pathlib import Path

HELP = "describe or verify folders of episodes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions."""
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    described = "print counts, behaviours, shapes and provenance from the manifest"
    info = actions.add_parser("info", help=described, description=described)
    info.add_argument("--json", action="store_true", help="print the whole manifest as JSON")
    read = "read every byte and episode; say which file is damaged"
    verify = actions.add_parser("verify", help=read, description=read)
    for action in (info, verify):
        action.add_argument("folder", nargs="+", type=Path, help="folder that `collect` wrote")


def run(args: argparse.Namespace) -> int:
    """Run the chosen action on every folder; the first damaged one ends it with an error."""
    from sdiwm_model.data.shards import read_manifest, verify

    for folder in args.folder:
        if args.action == "verify":
            manifest = verify(folder)
            print(
                f"{folder}: sound; {manifest['episodes']} episodes, {manifest['frames']} frames, "
                f"{len(manifest['shards'])} shards"
            )
        elif args.json:
            print(json.dumps(read_manifest(folder), indent=2))
        else:
            _describe(folder, read_manifest(folder))
    return 0


def _describe(folder: Path, manifest: dict) -> None:
    size = sum(shard["bytes"] for shard in manifest["shards"]) / 1e6
    rows = {
        "task": manifest["task"].get("name", "unnamed"),
        "episodes": manifest["episodes"],
        "frames": manifest["frames"],
        "shards": f"{len(manifest['shards'])} ({size:.1f} MB)",
        "behaviours": ", ".join(f"{k} {n}" for k, n in manifest["behaviours"].items()),
        "failures": len(manifest["failures"]),
        "shapes": ", ".join(f"{k} {v}" for k, v in manifest["spec"].items()),
        "provenance": json.dumps(manifest["provenance"]),
    }
    print(folder)
    for name, value in rows.items():
        print(f"  {name:<11}{value}")
