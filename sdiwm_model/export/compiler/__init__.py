"""From an ONNX graph to integer C++17: import, quantise, plan memory, write source and report."""
