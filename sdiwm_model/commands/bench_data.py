"""How fast video comes in and clips go out, and how long training would wait for them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.data.stream_speed import Trial

HELP = "ingest of video, and the loaders against what training demands: warm, cold, memory"
FRAMES, BATCH, RANKS = 16, 8, 2
DEMANDS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)  # of --demand-fps, for the curve
SETTLE_SECONDS = 3.0  # at the demand, before waits count: starting is first_batch_s
HOPELESS = 0.5  # where the curve ends: beyond, waits only grow
VIDEO_SECONDS = 10.0
SUBSAMPLED_FPS = 4.0
NOTES = {
    "ingest": "H.264 of 340 x 256 at 30 frames/s, every frame kept, cut and scaled to the side, "
    "written raw; subsampled: the same kept at 4 frames/s, decode_fps counts all frames",
    "read_fps": "frames a second from the opening of the loader on, nothing done with them; cold: "
    "one epoch with the shards dropped from the page cache (a hypervisor may still hold them)",
    "wait_fraction": "share of the time in which the worst of two ranks waits for data, at "
    "demand_fps of both together; the training step is slept; warm: after 3 s at that demand, "
    "cold: from the second batch of an epoch on",
    "headroom": "read_fps over demand_fps",
    "disk_fps": "what one reader gets from the disk going straight through the shards, cold",
    "first_batch_s": "from opening the loader; a Ray cluster runs already",
    "rss_peak_mb": "of the worst rank's process, shared memory that it touched included; Ray's "
    "object store of object_store_mb and its workers come on top",
    "memory": "rss_peak_mb of the same work on a tenth of the data and on all of it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how much data is made, where, and what is demanded."""
    parser.add_argument(
        "--folder", type=Path, metavar="DIR",
        help="on the disk to be measured; what is made there is removed (a temporary folder)",
    )  # fmt: skip
    parser.add_argument(
        "--clips", type=int, default=600, metavar="N",
        help=f"synthetic clips of {FRAMES} frames; 10 or more (600 take 1.5 GB)",
    )  # fmt: skip
    parser.add_argument(
        "--videos", type=int, default=20, metavar="N",
        help="synthetic videos of 10 s to ingest; 10 or more (20 take 0.9 GB)",
    )  # fmt: skip
    parser.add_argument("--side", type=int, default=224, metavar="PIXELS", help="of the frames")
    parser.add_argument(
        "--demand-fps", type=float, default=1000.0, metavar="F",
        help="frames a second that training takes (ViT-H on 8 GPUs: 800 to 1,070)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="time spent on each trial"
    )
    parser.add_argument(
        "--loaders", nargs="+", choices=("local", "ray"), default=["local", "ray"],
        help="what to measure",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and return the report's results.

    Raises:
        SdiwmError: numbers that make no sense, too little room, or Ray is missing.
    """
    import tempfile

    _check(args)
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-data-", dir=args.folder) as name:
        folder = Path(name)
        results: dict[str, Any] = {
            "frames": FRAMES,
            "batch": BATCH,
            "ranks": RANKS,
            "side": args.side,
            "object_store_mb": _store_bytes() / 1e6,
            "ingest": _ingest(args, folder),
        }
        results |= _loaders(args, folder)
    results["notes"] = dict(NOTES)
    if args.json is not None:
        picture = args.json.with_suffix(".png")
        draw_waits(picture, results, args.loaders)
        print(f"picture: {picture}")
    return results


def _check(args: argparse.Namespace) -> None:
    import shutil
    import tempfile

    if args.clips < 10 or args.videos < 10:
        raise SdiwmError("--clips and --videos must be 10 or more: a tenth is measured, too")
    if args.side < 8 or args.demand_fps <= 0 or args.seconds <= 0:
        raise SdiwmError("--side must be 8 or more, --demand-fps and --seconds above 0")
    if args.folder is not None and not args.folder.is_dir():
        raise SdiwmError(f"--folder {args.folder} is no folder; make it or name another")
    where = args.folder or Path(tempfile.gettempdir())
    room = shutil.disk_usage(where).free
    frames = max(args.clips * FRAMES * 1.1, args.videos * VIDEO_SECONDS * 30)
    if room < 1.2 * frames * args.side**2 * 3:
        raise SdiwmError(f"{where} has {room / 1e9:.1f} GB left; name another --folder")
    if "ray" in args.loaders:
        from sdiwm_model.data.ray_session import import_ray

        import_ray()


def _store_bytes() -> int:
    from sdiwm_model.data.ray_session import OBJECT_STORE_BYTES

    return OBJECT_STORE_BYTES


def _ingest(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every frame kept, warm and cold, by threads and by Ray; subsampled; a tenth of the videos."""
    import shutil

    from sdiwm_model.data.importers.video_settings import VideoSettings
    from sdiwm_model.data.ray_session import cluster_for_processes
    from sdiwm_model.data.stream_samples import VIDEO_FPS, drop_from_cache, make_videos
    from sdiwm_model.data.stream_speed import measure_ingest

    few, videos, out = folder / "few-videos", folder / "videos", folder / "ingested"
    each = make_videos(videos, args.videos, VIDEO_SECONDS, args.seeds[0])
    make_videos(few, args.videos // 10, VIDEO_SECONDS, args.seeds[0])
    every = VideoSettings(size=args.side, fps=float(VIDEO_FPS), clip=64)

    def once(kind: str, source: Path, settings: VideoSettings) -> dict[str, float]:
        count = each * (args.videos if source == videos else args.videos // 10)
        figures = measure_ingest(kind, source, settings, out, count)
        shutil.rmtree(out)
        return figures

    drop_from_cache(videos)
    cold = once("local", videos, every)
    warm = once("local", videos, every)
    block: dict[str, Any] = {**warm, "warm": warm, "cold": cold}
    block["subsampled"] = once(
        "local", videos, VideoSettings(size=args.side, fps=SUBSAMPLED_FPS, clip=64)
    )
    tenth = once("local", few, every)
    block["memory"] = _memory(tenth, warm)
    if "ray" in args.loaders:
        with cluster_for_processes():
            block["ray"] = once("ray", videos, every)
    for path in (videos, few):
        shutil.rmtree(path)
    return block


def _loaders(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from contextlib import nullcontext

    from sdiwm_model.data.ray_session import cluster_for_processes
    from sdiwm_model.data.stream_samples import make_clips
    from sdiwm_model.data.stream_speed import Trial

    make_clips(folder / "few", args.clips // 10, FRAMES, args.side, args.seeds[0])
    make_clips(folder / "clips", args.clips, FRAMES, args.side, args.seeds[0])
    blocks = {}
    for kind in args.loaders:
        trial = Trial(
            kind, folder / "clips", FRAMES, BATCH, seed=args.seeds[0],
            object_store_bytes=_store_bytes(),
        )  # fmt: skip
        with cluster_for_processes() if kind == "ray" else nullcontext():
            blocks[kind] = _loader(args, trial, folder / "few")
    return blocks


def _loader(args: argparse.Namespace, trial: Trial, few: Path) -> dict[str, Any]:
    """All figures of one loader."""
    from dataclasses import replace

    from sdiwm_model.data.stream_samples import drop_from_cache
    from sdiwm_model.data.stream_speed import disk_fps, measure

    demanded = replace(trial, ranks=RANKS, demand_fps=args.demand_fps)
    block: dict[str, Any] = {"demand_fps": args.demand_fps}
    block["disk_fps"] = disk_fps(trial.folder, args.side**2 * 3)
    drop_from_cache(trial.folder)
    cold = measure(trial)
    drop_from_cache(trial.folder)
    block["cold"] = _against(args.demand_fps, cold, measure(replace(demanded, seconds=0.0)))
    fast = measure(replace(trial, seconds=args.seconds))
    tenth = measure(replace(trial, folder=few, seconds=args.seconds))
    curve = []
    for factor in DEMANDS:
        wanted = factor * args.demand_fps
        steady = replace(demanded, seconds=args.seconds, settle=SETTLE_SECONDS)
        found = measure(replace(steady, demand_fps=wanted))
        curve.append({"demand_fps": wanted, "wait_fraction": found["wait_fraction"]})
        if factor == 1:
            block["warm"] = _against(args.demand_fps, fast, found)
        if factor >= 1 and found["wait_fraction"] > HOPELESS:
            break
    block["wait_curve"] = curve
    block["memory"] = _memory(tenth, fast)
    return block | block["warm"]


def _against(demand: float, fast: dict[str, float], demanded: dict[str, float]) -> dict[str, float]:
    return {
        "read_fps": fast["read_fps"],
        "headroom": fast["read_fps"] / demand,
        "wait_fraction": demanded["wait_fraction"],
        "first_batch_s": fast["first_batch_s"],
        "rss_peak_mb": fast["rss_peak_mb"],
    }


def _memory(tenth: dict[str, float], whole: dict[str, float]) -> dict[str, float]:
    return {
        "rss_peak_mb_at_tenth": tenth["rss_peak_mb"],
        "rss_peak_mb": whole["rss_peak_mb"],
        "ratio": whole["rss_peak_mb"] / tenth["rss_peak_mb"],
    }


def draw_waits(path: Path, results: dict[str, Any], loaders: list[str]) -> None:
    """Write a PNG: share of the time spent waiting for data, against the demand."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from sdiwm_model.files import atomic_path

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in loaders:
        curve = results[name]["wait_curve"]
        demands = [point["demand_fps"] for point in curve]
        shares = [100 * point["wait_fraction"] for point in curve]
        axes.plot(demands, shares, marker="o", label=f"{name} loader, warm")
        axes.axvline(demands[DEMANDS.index(1)], color="black", lw=0.8, ls=":")
    axes.axhline(2, color="black", lw=0.8, ls="--", label="2 %")
    axes.set_xscale("log")
    axes.set_ylim(0, 100)
    side = results["side"]
    axes.set_xlabel(f"demand, frames of {side} x {side} a second, two ranks together")
    axes.set_ylabel("waiting for data, % of the time, worse rank")
    axes.grid(alpha=0.25)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def print_table(results: dict[str, Any]) -> None:
    """Print ingest, then a line for each loader, warm and cold."""
    block = results["ingest"]
    print(f"{'ingest':12} {'decoded/s':>10} {'kept/s':>8} {'MB/s':>7} {'peak MB':>8}")
    for name in ("warm", "cold", "subsampled", "ray"):
        if name in block:
            row = block[name]
            print(
                f"{name:12} {row['decode_fps']:10.0f} {row['kept_fps']:8.0f} "
                f"{row['write_mb_s']:7.0f} {row['rss_peak_mb']:8.0f}"
            )
    print(
        f"{'loader':12} {'frames/s':>10} {'headroom':>9} {'wait':>7} {'first s':>8} {'peak MB':>8}"
    )
    for kind in ("local", "ray"):
        for heat in ("warm", "cold"):
            if kind in results:
                print(_line(f"{kind} {heat}", results[kind][heat]))
    for kind in ("ingest", "local", "ray"):
        if kind in results:
            found = results[kind]["memory"]
            print(
                f"peak memory of {kind}, a tenth of the data and all: "
                f"{found['rss_peak_mb_at_tenth']:.0f} and {found['rss_peak_mb']:.0f} MB"
            )


def _line(name: str, row: dict[str, float]) -> str:
    return (
        f"{name:12} {row['read_fps']:10.0f} {row['headroom']:8.1f}x {row['wait_fraction']:7.2%} "
        f"{row['first_batch_s']:8.2f} {row['rss_peak_mb']:8.0f}"
    )
