"""One way to open an ONNX graph: one thread, a clear sentence when it cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


CPU, TENSORRT = "CPUExecutionProvider", "TensorrtExecutionProvider"


def no_tensorrt() -> str | None:
    """Why ONNX Runtime cannot use TensorRT on this machine; None where it can."""
    import onnxruntime

    if TENSORRT in onnxruntime.get_available_providers():
        return None
    return (
        "this ONNX Runtime has no TensorRT: on a machine with an NVIDIA GPU, "
        "`pip install onnxruntime-gpu tensorrt` in place of onnxruntime"
    )


def open_session(
    graph: Path, provider: str = CPU, weights: Mapping[str, NDArray[Any]] | None = None
) -> InferenceSession:
    """Open `graph` for one-threaded inference on the CPU, or for `TENSORRT`.

    Args:
        weights: tensors that the graph names and does not hold; they must outlive the session.

    Raises:
        SdiwmError: that fails, or the provider is not there.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SdiwmError(
            "The package `onnxruntime` is missing: pip install onnxruntime."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        if weights:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(w) for w in weights.values()]
            options.add_external_initializers(list(weights), values)
        session = onnxruntime.InferenceSession(str(graph), options, providers=[provider])
    except Exception as error:
        raise SdiwmError(f"{graph} cannot be opened by ONNX Runtime: {error}") from error
    if (
        provider not in session.get_providers()
    ):  # it then falls back to the CPU, and says so nowhere
        raise SdiwmError(
            f"{graph} cannot be run by {provider}: no GPU, or another driver's library"
        )
    return session
