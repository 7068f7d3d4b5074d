"""Subcommands of `sdiwm` that drive the ROS 2 graph."""
