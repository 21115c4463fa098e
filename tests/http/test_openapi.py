"""The OpenAPI document, and what a fuzzer finds that knows nothing but the document."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from perdure.runtime.api import openapi
from perdure.runtime.api.app import routes
from perdure.runtime.api.operations import PREFIXES, Operation
from perdure.runtime.api.ports import ApiConfig
from perdure.runtime.api.server import ApiServer
from tests.support.http_server import Server
from tests.support.http_service import FakeNode

EXAMPLES = 20
KNOWN = "known-1"
CONFIG = ApiConfig(app_id="shop", version="0.1.0", port=0)
OPERATIONS: dict[str, Operation] = {op.name: op for op, _ in routes(FakeNode(CONFIG))}
DOCUMENT = openapi.document(OPERATIONS.values(), CONFIG.version)


async def test_the_document_is_served(server: Server) -> None:
    answer = await server.get("/openapi.json")
    assert answer.status == 200
    assert answer.json == json.loads(json.dumps(DOCUMENT))


def test_the_document_says_where_it_stands() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert [server["url"] for server in DOCUMENT["servers"]] == list(PREFIXES)
    assert DOCUMENT["paths"]["/openapi.json"]["servers"] == [{"url": "/"}]


def test_the_document_describes_every_operation_once() -> None:
    described = [
        operation["operationId"]
        for path in DOCUMENT["paths"].values()
        for method, operation in path.items()
        if method != "servers"
    ]
    assert sorted(described) == sorted(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_the_path_parameters_are_those_of_the_path(operation: Operation) -> None:
    named = [p.name for p in operation.parameters if p.place == "path"]
    assert sorted(named) == sorted(re.findall(r"{(\w+)}", operation.path))
    operation.failure.format_map({name: "x" for name in [*named, "error"]})


def test_the_document_is_openapi() -> None:
    SCHEMA.validate()


@pytest.fixture(scope="module")
def live_url() -> Iterator[str]:
    """The address of a node on a thread of its own: the fuzzer is synchronous."""
    listening = threading.Event()
    address: list[str] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stopping = asyncio.Event()
        async with ApiServer(FakeNode(CONFIG)) as api:
            address.append(api.url)
            stop.append((asyncio.get_running_loop(), stopping))
            listening.set()
            await stopping.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert listening.wait(10)
    yield address[0]
    loop, stopping = stop[0]
    loop.call_soon_threadsafe(stopping.set)
    thread.join(10)


CHECKED = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(
    DOCUMENT,
    config=SchemathesisConfig(
        seed=1,
        projects=ProjectsConfig(
            default=ProjectConfig(
                generation=GenerationConfig(
                    modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE],
                    max_examples=EXAMPLES,
                    deterministic=True,
                    database="none",
                )
            )
        ),
    ),
)
# The document itself stands under no prefix; a shutdown would end a real node.
FUZZED = SCHEMA.exclude(operation_id=["OpenAPI", "Shutdown"])


@FUZZED.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_other_than_declared(case: schemathesis.Case[Any], live_url: str) -> None:
    base = f"{live_url}/v1.0"
    with requests.Session() as session:
        session.post(f"{base}/workflows/dapr/order/start?instanceID={KNOWN}", timeout=10)
        if isinstance(case.query, dict) and "wait" in case.query:
            case.query["timeout"] = 0
        check(case, case.call(base_url=base, session=session))
        if "instanceID" in case.path_parameters:
            case.path_parameters["instanceID"] = KNOWN
            check(case, case.call(base_url=base, session=session))


def check(case: schemathesis.Case[Any], response: schemathesis.Response) -> None:
    """As declared, and an internal error is one of those that Dapr has, too."""
    case.validate_response(response, checks=CHECKED)
    operation = OPERATIONS[case.operation.definition.raw["operationId"]]
    if response.status_code >= 500:
        codes = {operation.code, "ERR_HEALTH_APPID_NOT_MATCH"}
        assert response.json()["errorCode"] in codes
