"""Faults injected into the running graph, and what is measured of them: `sdiwm bench faults`."""
