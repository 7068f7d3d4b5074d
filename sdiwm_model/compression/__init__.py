"""From a float model to integers: calibration, quantisation, and the integer reference."""
