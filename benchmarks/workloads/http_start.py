"""How many workflows can be started over HTTP in a second, on connections that are kept?

The workflows run too, in the same process, and are not waited for.
"""

from __future__ import annotations

from benchmarks.http_client import Connection
from benchmarks.options import Options
from benchmarks.over_http import measure_requests
from benchmarks.result import Result

PATH = "/v1.0/workflows/dapr/noop/start"


async def start(connection: Connection) -> None:
    status, body = await connection.request("POST", PATH, b"7")
    if status != 202:
        raise AssertionError(f"a start was answered with {status}: {body!r}")


async def measure(options: Options) -> Result:
    return await measure_requests("http_start", start, "start request", options)
