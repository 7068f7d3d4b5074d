"""Subcommands of `sdiwm` that need the simulator."""
