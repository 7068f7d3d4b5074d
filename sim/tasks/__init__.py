"""Simulated tasks, one a module."""
