"""From a trained checkpoint to files that run without torch."""
