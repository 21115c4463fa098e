"""What this machine gets out of perdure: `python -m benchmarks`, or `make bench`.

One workload answers one question, in a process of its own (`workloads/`). `budget` holds what was
promised for each figure; nothing here is a test, and nothing fails for being slow.
"""
