"""Two hundred orders, a `kill -9` half way, and a check of every one: `python -m examples.demo`."""
