"""SD-IWM: a small latent world model, its offline work and its runtimes."""

import os

__version__ = "0.1.0"

# The wheels of ONNX Runtime from 1.31 on report to their maker unless this is set when they are
# first imported, by this process or by one that it starts.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
