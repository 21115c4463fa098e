"""The OpenAPI document, and what a fuzzer finds that knows nothing but the document."""

from __future__ import annotations

import asyncio
import json
import re
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
from tests.support.http_node import RealScenarios
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


@pytest.fixture
def live_url(lent: RealScenarios) -> Iterator[str]:
    """The address of a real node, which is left without instances."""
    yield lent.url
    asyncio.run(lent.clear())


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
# The document itself stands under no prefix; a shutdown would end the node.
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
