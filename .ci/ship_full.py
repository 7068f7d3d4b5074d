"""The full model of `.ci/compression.sh` becomes the one that `sdiwm compress` starts from.

Of the run runs/compression/TASK/full/0 the weights and settings go to
sdiwm_model/weights/TASK/full. Its snapshot and calibration stay: they are too large for git, and
`sdiwm compress --data` measures ranges anew.
"""

import shutil
import sys
from pathlib import Path

from sdiwm_model.checkpoint import WEIGHTS, read_manifest, write_manifest
from sdiwm_model.training.run import SETTINGS


def ship_full(task: str) -> None:
    """Raises SdiwmError: the run is missing, unfinished or damaged."""
    run = Path("runs/compression") / task / "full/0"
    out = Path("sdiwm_model/weights") / task / "full"
    manifest = read_manifest(run)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in (WEIGHTS, SETTINGS):
        shutil.copyfile(run / name, out / name)
    write_manifest(out, manifest)


if __name__ == "__main__":
    ship_full(sys.argv[1])
