"""World-action models in every setting: success beside what a chunk costs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.evaluation.wam_cost import OpenEngine, Seen
    from sdiwm_model.wam.checkpoint import WamManifest
    from sdiwm_model.wam.protocols import StepPair
    from sdiwm_sim.wam_trials import Judge

HELP = "world-action models: success and latency of step pairs, modes, switches, delays, proposals"
VIDEO_STEPS, ACTION_STEPS = (0, 1, 2, 10), (1, 2, 4, 10)
DELAYS_MS = (0, 20, 50, 100)
FEW, MANY = 32, 512  # candidates
PARTS = ("grid", "modes", "switches", "delays", "proposals", "streaming")
CHANGING = ("random", "ranked", "feature", "fp16", "int8", "one action step")
"""Switches that give other chunks than the exact ones do, by what their names hold."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument(
        "--task", nargs="+", default=["reach", "push", "jaco_reach"], help="simulated tasks"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="another bundle, of the one task")
    parser.add_argument(
        "--runs", type=Path, nargs="+", metavar="DIR",
        help="runs of `sdiwm wam` on that bundle, training seeds, in place of its own; the first "
        "is timed",
    )  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="of it")
    parser.add_argument(
        "--pairs", nargs="+", metavar="VxA",
        help="step pairs of the grid instead of all; the default and 10x10 are always there",
    )  # fmt: skip
    parser.add_argument(
        "--episodes", type=int, default=30, metavar="N", help="for each seed, model and setting"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="S", help="time spent on each latency"
    )
    parser.add_argument(
        "--streaming-steps", type=int, default=10_000, metavar="N", help="of one episode"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for each task. With --json a picture is drawn beside it."""
    import tempfile

    from sdiwm_model.evaluation.wam_picture import draw_wam
    from sdiwm_model.wam.protocols import parse_steps

    if (args.model or args.runs) and len(args.task) > 1:
        raise SdiwmError("--model and --runs are of one task: name it with --task")
    for name, least in (("episodes", 1), ("streaming_steps", 100)):
        if getattr(args, name) < least:
            flag = name.replace("_", "-")
            raise SdiwmError(f"--{flag} is {getattr(args, name)}: use {least} or more")
    for text in args.pairs or []:
        parse_steps(text)
    results = {}
    for task in args.task:
        with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
            results[task] = _one_task(args, task, Path(folder))
    if args.json is not None and {"grid", "delays"} & set(args.parts):
        picture = args.json.with_suffix(".png")
        draw_wam(picture, results)
        print(f"picture: {picture}")
    return results


def _one_task(args: argparse.Namespace, name: str, temporary: Path) -> dict[str, Any]:
    from tqdm import tqdm

    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.evaluation.wam_cost import open_engine, products
    from sdiwm_model.shipped import bundle_folder
    from sdiwm_model.wam.checkpoint import FOLDER, read_wam_manifest
    from sdiwm_sim.task import make_task
    from sdiwm_sim.trials import draw_trials
    from sdiwm_sim.wam_trials import Judge, watch, with_run

    task = make_task(name)
    bundle = bundle_folder(args.model, name)
    bundles = [bundle] if not args.runs else [with_run(bundle, r, temporary) for r in args.runs]
    first, base = bundles[0], read_manifest(bundles[0])
    manifests = [read_wam_manifest(each, read_manifest(each)) for each in bundles]
    trials = draw_trials(task, args.seeds, args.episodes, "train")
    seen = watch(task, first, trials[0])
    bench = _Bench(args, manifests[0], seen, lambda switches: open_engine(first, switches))
    block: dict[str, Any] = {
        "model_hash": base.model_hash,
        "models": len(bundles),
        "default": str(manifests[0].steps),
        "wam": manifests[0].files,
        "wam_mb": sum(p.stat().st_size for p in (first / FOLDER).iterdir()) / 1e6,
    }
    with tqdm(desc=name, unit="episode", disable=None) as bar:
        judge = Judge(task, bundles, trials, open_engine, lambda result: bar.update() and None)
        for part in args.parts:
            bar.set_postfix_str(part)
            block[part] = getattr(bench, part)(judge)
    return block | products(first, seen, bench.pairs().values())


class _Bench:
    """The parts of the bench on one task; each gives its block."""

    def __init__(
        self,
        args: argparse.Namespace,
        manifest: WamManifest,
        seen: Seen,
        open_engine: OpenEngine,
    ) -> None:
        self.args, self.manifest, self.seen = args, manifest, seen
        self.open_engine = open_engine

    def grid(self, judge: Judge) -> dict[str, Any]:
        """Success and `chunk_ms` of every step pair, and of each its points below 10/10."""
        pairs = self.pairs()
        found = self._judged(judge, pairs)
        symmetric = next(reversed(found.values()))
        for each in found.values():
            each["minus_symmetric"] = self._difference(each, symmetric)
            each["factor"] = symmetric["chunk_ms"]["p50"] / each["chunk_ms"]["p50"]
        return found

    def modes(self, judge: Judge) -> dict[str, Any]:
        """The modes that the model knows, with the default's steps."""
        from sdiwm_model.wam.protocols import StepPair

        video, action = max(1, self.manifest.steps.video), self.manifest.steps.action
        pairs = {
            mode: StepPair(0 if mode in ("prefill", "policy") else video, action, mode)
            for mode in self.manifest.modes
        }
        return self._judged(judge, pairs)

    def switches(self, judge: Judge) -> dict[str, Any]:
        """What each switch saves, alone and together, of the first model.

        Success is judged of those that change the chunk.
        """
        from dataclasses import replace

        from sdiwm_model.evaluation.wam_cost import REFERENCE, switch_costs, variants

        costs = switch_costs(
            self.open_engine, self.manifest, self.seen, self.args.seconds, self.args.seeds[0]
        )
        judge = replace(judge, bundles=judge.bundles[:1])
        for name, each in variants(self.manifest).items():
            together = name.startswith(("together", "..."))
            if together or name == REFERENCE or any(word in name for word in CHANGING):
                costs[name] |= judge.wam(_settings(each.steps), each.switches)
        return costs

    def delays(self, judge: Judge) -> dict[str, Any]:
        """Success when every chunk comes so many milliseconds later."""
        from dataclasses import replace

        asked = _settings(self.manifest.steps)
        return {str(ms): judge.wam(replace(asked, delay=1e-3 * ms)) for ms in DELAYS_MS}

    def proposals(self, judge: Judge) -> dict[str, Any]:
        """MPPI with few candidates and proposals, against MPPI with many and with as few."""
        asked = _settings(self.manifest.steps)
        found = {
            f"wam+mppi {FEW}": judge.wam(asked, backend="wam+mppi", candidates=FEW),
            f"mppi {FEW}": judge.mppi(FEW),
            f"mppi {MANY}": judge.mppi(MANY),
        }
        many = found[f"mppi {MANY}"]
        for each in found.values():
            each["minus_many"] = self._difference(each, many)
        return found

    def streaming(self, judge: Judge) -> dict[str, Any]:
        """One long episode of the engine alone."""
        from sdiwm_model.evaluation.wam_cost import standard, streaming

        engine = self.open_engine(standard(self.manifest))
        return streaming(engine, self.seen, self.manifest.steps, self.args.streaming_steps)

    def pairs(self) -> dict[str, StepPair]:
        """The grid, the default among it, 10/10 the last."""
        from sdiwm_model.evaluation.wam_cost import SYMMETRIC
        from sdiwm_model.wam.protocols import parse_steps

        texts = self.args.pairs or [f"{v}x{a}" for v in VIDEO_STEPS for a in ACTION_STEPS]
        found = {str(each): each for each in (self.manifest.steps, *map(parse_steps, texts))}
        found.pop(str(SYMMETRIC), None)
        return found | {str(SYMMETRIC): SYMMETRIC}

    def _judged(self, judge: Judge, pairs: dict[str, StepPair]) -> dict[str, Any]:
        from sdiwm_model.evaluation.wam_cost import pair_costs, standard

        engine = self.open_engine(standard(self.manifest))
        times = pair_costs(engine, pairs, self.seen, self.args.seconds, self.args.seeds[0])
        return {
            name: judge.wam(_settings(steps)) | {"chunk_ms": times[name]}
            for name, steps in pairs.items()
        }

    def _difference(self, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
        """Of the success on the same trials, with the 95 % bootstrap interval over them."""
        import numpy as np

        from sdiwm_model.report import bootstrap_interval

        pairs = np.subtract(ours["scores"], theirs["scores"])
        interval = bootstrap_interval(pairs, self.args.seeds[0])
        return {"mean": float(pairs.mean()), "ci95": interval, "n": len(pairs)}


def _settings(steps: StepPair) -> Any:
    from sdiwm_model.runtime.wam_settings import WamSettings

    return WamSettings(f"{steps.video}x{steps.action}", steps.mode)


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    from sdiwm_sim.wam_table import print_wam

    for task, block in results.items():
        print_wam(task, block)
