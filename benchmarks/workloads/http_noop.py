"""How many one-activity workflows a second over HTTP: a start, then a request that waits?"""

from __future__ import annotations

import json

from benchmarks.http_client import Connection
from benchmarks.options import Options
from benchmarks.over_http import measure_requests
from benchmarks.result import Result

PATH = "/v1.0/workflows/dapr"


async def start_and_wait(connection: Connection) -> None:
    status, body = await connection.request("POST", f"{PATH}/noop/start", b"7")
    if status != 202:
        raise AssertionError(f"a start was answered with {status}: {body!r}")
    instance_id = json.loads(body)["instanceID"]
    status, body = await connection.request("GET", f"{PATH}/{instance_id}?wait=completed")
    if status != 200 or b'"COMPLETED"' not in body:
        raise AssertionError(f"{instance_id} came to {status}: {body!r}")


async def measure(options: Options) -> Result:
    return await measure_requests("http_noop", start_and_wait, "start to completion", options)
