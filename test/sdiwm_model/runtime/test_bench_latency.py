import argparse
import os

import pytest

from sdiwm_model.commands import bench_latency
from sdiwm_model.errors import SdiwmError
from sdiwm_model.report import build_report


def arguments(model, *backends):
    parser = argparse.ArgumentParser()
    bench_latency.add_arguments(parser)
    args = parser.parse_args(["--model", str(model), "--backends", *backends, "--seconds", "0.02"])
    args.seeds = [0]
    return args


def test_every_back_end_is_measured_on_every_size(bundle, capsys):
    before = os.sched_getaffinity(0)
    results = bench_latency.run(arguments(bundle, *bench_latency.BACKENDS))
    assert os.sched_getaffinity(0) == before
    assert results["shipped_size"] == "32x4"
    for backend in bench_latency.BACKENDS:
        for size in ("32x4", "64x12", "512x16"):
            figures = results[backend][size]
            assert 0 < figures["plan_us"]["p50"] <= figures["plan_us"]["p99"]
            assert figures["rollout_us"]["n"] >= bench_latency.LEAST_CALLS
            assert 0 < figures["fraction_of_peak"] < 1.05
    # 13,632 MACs a step and cost, 2,112 for the value at the end
    assert results["native"]["512x16"]["macs"] == 512 * (16 * 13632 + 2112)
    notes = results.pop("notes")
    report = build_report("latency", "sdiwm bench latency", [0], results, notes)
    bench_latency.print_table(report["results"])
    assert capsys.readouterr().out.count("512x16") == 3


def test_a_missing_bundle_is_named(tmp_path):
    with pytest.raises(SdiwmError, match="no model bundle"):
        bench_latency.run(arguments(tmp_path / "none", "native"))
