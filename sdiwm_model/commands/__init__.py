"""Subcommands of `sdiwm` that work on the model and its data; each module is one command."""
