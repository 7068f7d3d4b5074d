"""One way to open an ONNX graph: CPU, one thread, a clear sentence when it cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(graph: Path) -> InferenceSession:
    """Open `graph` for one-threaded inference on the CPU; SdiwmError where that fails."""
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
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SdiwmError(f"{graph} cannot be opened by ONNX Runtime: {error}") from error
