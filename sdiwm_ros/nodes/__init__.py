"""One module per node; each has a `main` and runs as a process of its own."""
