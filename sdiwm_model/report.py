"""What a bench writes: one JSON object with everything needed to compare it with another run."""

import math
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.files import write_json

__all__ = [
    "bootstrap_interval",
    "build_report",
    "commit",
    "distribution",
    "machine",
    "paired_ratio",
    "rate",
    "versions",
    "write_json",
]

REPORTED_PACKAGES = (
    "sdiwm_ros",
    "numpy",
    "torch",
    "onnx",
    "onnxruntime",
    "mujoco",
    "pyarrow",
    "ros-kilted-rclpy",
    "ros-rmw-fastrtps-cpp",
)
Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution
TREE = Path(__file__).resolve().parent.parent


def build_report(
    bench: str,
    command: str,
    seeds: Sequence[int],
    results: Mapping[str, Any],
    notes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the report object of a bench, ready for `write_json`.

    numpy values become plain ones. A figure that is NaN or infinite becomes null and is named in
    `notes` under its key, beside the reasons given in `notes` for figures that are missing.
    """
    reasons = dict(notes or {})
    plain = _plain(results, "", reasons)
    report = {
        "bench": bench,
        "command": command,
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "seeds": [int(seed) for seed in seeds],
        "results": plain,
    }
    if reasons:
        report["notes"] = reasons
    return report


def distribution(values: Sequence[float] | np.ndarray) -> dict[str, float | int | None]:
    """Return {p50, p99, p999, max, n} of the values, in their unit; null where there are none."""
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0:
        return {"p50": None, "p99": None, "p999": None, "max": None, "n": 0}
    p50, p99, p999 = np.percentile(array, [50.0, 99.0, 99.9])
    return {
        "p50": float(p50),
        "p99": float(p99),
        "p999": float(p999),
        "max": float(array.max()),
        "n": int(array.size),
    }


def rate(successes: int, n: int) -> dict[str, Any]:
    """Return {mean, ci95: [lo, hi], n} of `successes` in `n` trials, with Wilson's interval.

    Source: E. B. Wilson, "Probable inference", JASA 22 (1927) 209-212. Without trials: nulls.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return {"mean": None, "ci95": [None, None], "n": 0}
    mean = successes / n
    scale = 1.0 + Z_95**2 / n
    centre = (mean + Z_95**2 / (2 * n)) / scale
    half = Z_95 * math.sqrt(mean * (1 - mean) / n + Z_95**2 / (4 * n**2)) / scale
    return {
        "mean": mean,
        "ci95": [min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))],
        "n": int(n),
    }


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    seed: int,
    statistic: Callable[..., np.ndarray] = np.mean,
    resamples: int = 2000,
) -> list[float]:
    """Return the 95 % percentile bootstrap interval [lo, hi] of a statistic over `values` (n,).

    `statistic` takes an array (resamples, n) and `axis=1`. The same seed gives the same interval.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"values have shape {array.shape}; expected (n,) with n > 0")
    chosen = np.random.default_rng(seed).integers(array.size, size=(resamples, array.size))
    low, high = np.percentile(statistic(array[chosen], axis=1), [2.5, 97.5])
    return [float(low), float(high)]


def paired_ratio(
    ours: np.ndarray, theirs: np.ndarray, seed: int, resamples: int = 2000
) -> dict[str, Any]:
    """Ratio of two means over the same trials, {mean, ci95, n}: the bootstrap draws pairs.

    NaN where the mean of ``theirs`` is 0, since then there is nothing to compare with.
    """
    pairs = np.stack([ours, theirs], axis=1)
    chosen = np.random.default_rng(seed).integers(len(pairs), size=(resamples, len(pairs)))
    tops, bottoms = pairs[chosen].mean(axis=1).T
    ratios = np.divide(tops, bottoms, out=np.full(resamples, np.nan), where=bottoms != 0)
    bottom = theirs.mean()
    low, high = np.nanpercentile(ratios, [2.5, 97.5]) if bottom else (np.nan, np.nan)
    mean = float(ours.mean() / bottom) if bottom else float("nan")
    return {"mean": mean, "ci95": [float(low), float(high)], "n": len(pairs)}


def commit(tree: Path = TREE) -> str | None:
    """Return the commit of the source tree this runs from, "-dirty" if it differs; else None.

    The reports in doc/results may differ: the one that is being made anew is among them.
    """

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", str(tree), *words], capture_output=True, text=True, timeout=10
        )

    if not (tree / ".git").exists():
        return None
    try:
        head = git("rev-parse", "HEAD")
        same = git("diff", "--quiet", "HEAD", "--", ".", ":(exclude)doc/results")
    except (OSError, subprocess.SubprocessError):
        return None
    if head.returncode != 0:
        return None
    return head.stdout.strip() + ("" if same.returncode == 0 else "-dirty")


def machine() -> dict[str, Any]:
    """Return what figures depend on: processor, cores, memory, system, and the load just now."""
    return {
        "cpu": _first_value("/proc/cpuinfo", "model name") or platform.processor() or None,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str | None]:
    """Return Python's version and that of each reported package, null where it is missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _first_value(path: str, key: str) -> str | None:
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _plain(value: Any, key: str, reasons: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{key}.{k}".lstrip("."), reasons) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{key}[{i}]", reasons) for i, v in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        reasons.setdefault(key, f"measured as {value}, which JSON cannot carry")
        return None
    return value
