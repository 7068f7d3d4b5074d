"""Planners and the protocols they plan against."""
