"""Runtimes: what executes an exported bundle on a robot or a PC."""
