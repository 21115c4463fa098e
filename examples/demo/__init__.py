"""Orders on three nodes, a `kill -9`, a drain, and a check: `python -m examples.demo`."""
