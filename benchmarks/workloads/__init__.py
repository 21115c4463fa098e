"""The workloads: one module for each question, with an `async def measure(options) -> Result`."""
