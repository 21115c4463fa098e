"""The index of the HTTP API: which function answers which operation. An edge module."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web

from perdure.actors.errors import Fault
from perdure.runtime.api import openapi
from perdure.runtime.api import operations as op
from perdure.runtime.api.call import Call, answer_bytes, answer_refusal, answer_text
from perdure.runtime.api.cluster import ClusterHandlers
from perdure.runtime.api.errors import UNTYPED, Refusal, refusal_of
from perdure.runtime.api.guard import Guard
from perdure.runtime.api.health import NodeHandlers
from perdure.runtime.api.operations import PREFIXES, Operation
from perdure.runtime.api.ports import ApiNode
from perdure.runtime.api.routing import Found, PathTree
from perdure.runtime.api.workflows import WorkflowHandlers

logger = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[web.Response]]
Route = tuple[Operation, Handler]


def routes(node: ApiNode) -> list[Route]:
    """Every operation and the function that answers it."""
    workflows = WorkflowHandlers(node.service)
    health = NodeHandlers(node)
    cluster = ClusterHandlers(node)
    listed: list[Route] = [
        (op.START_WORKFLOW, workflows.start),
        (op.GET_WORKFLOW, workflows.get),
        (op.RAISE_EVENT_WORKFLOW, workflows.raise_event),
        (op.PAUSE_WORKFLOW, workflows.pause),
        (op.RESUME_WORKFLOW, workflows.resume),
        (op.TERMINATE_WORKFLOW, workflows.terminate),
        (op.PURGE_WORKFLOW, workflows.purge),
        (op.LIST_WORKFLOWS, workflows.list),
        (op.GET_WORKFLOW_HISTORY, workflows.history),
        (op.HEALTH, health.health),
        (op.OUTBOUND_HEALTH, health.outbound_health),
        (op.GET_METADATA, health.get_metadata),
        (op.SET_METADATA, health.set_metadata),
        (op.SHUTDOWN, health.shutdown),
        (op.GET_CLUSTER, cluster.get),
        (op.DRAIN_NODE, cluster.drain),
    ]
    document = openapi.document(
        [*(operation for operation, _ in listed), op.OPENAPI], node.api_config.version
    )
    encoded = msgspec.json.encode(document)

    async def describe(call: Call) -> web.Response:
        return answer_bytes(200, encoded)

    return [*listed, (op.OPENAPI, describe)]


def create_app(node: ApiNode) -> web.Application:
    """The API as an aiohttp application, to be part of another program's server.

    A node's own `server.ApiServer` does without: aiohttp's routing would only cost time there.
    """
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Dispatcher(node).dispatch, expect_handler=_later)
    return app


async def _later(request: web.Request) -> None:
    """Whether a body is wanted is only known when it is read."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    operation: Operation
    handler: Handler
    names: tuple[str, ...]


class Dispatcher:
    """From a request to the function that answers it, and from an error to an answer.

    One for all paths. aiohttp's table would have to hold every operation three times, does not
    clean paths as Dapr does, and knows no error JSON.
    """

    def __init__(self, node: ApiNode) -> None:
        self._config = node.api_config
        self._guard = Guard(node.api_config)
        self._tree: PathTree[_Endpoint] = PathTree()
        for operation, handler in routes(node):
            names = tuple(re.findall(r"{(\w+)}", operation.path))
            endpoint = _Endpoint(operation, handler, names)
            for prefix in ("",) if operation.at_root else PREFIXES:
                self._tree.add(operation.method, prefix + operation.path, endpoint)

    async def dispatch(self, request: web.BaseRequest) -> web.Response:
        """Answer any request."""
        try:
            found = self._tree.find(request.rel_url.raw_path)
        except UnicodeError:
            found = None
        endpoint = None if found is None else found.by_method.get(request.method)
        public = endpoint is not None and endpoint.operation.public
        if not public and not self._guard.knows_token(request.headers):
            return answer_text(401, "invalid api token\n")
        refusal = self._guard.refusal(request.headers)
        if refusal is not None:
            return answer_refusal(refusal)
        if found is None or endpoint is None:
            return answer_refusal(_nowhere(request, found))
        return await self._call(request, endpoint, found.values)

    async def _call(
        self, request: web.BaseRequest, endpoint: _Endpoint, values: Sequence[str]
    ) -> web.Response:
        operation = endpoint.operation
        path = dict(zip(endpoint.names, values, strict=True))
        try:
            return await endpoint.handler(Call(request, operation, path, self._config))
        except Exception as error:
            refusal = refusal_of(error, operation, path)
            if refusal.code == UNTYPED or isinstance(error, Fault):
                logger.exception(
                    "request failed",
                    extra={"event": "http_request_failed", "operation": operation.name, **path},
                )
            return answer_refusal(refusal)


def _nowhere(request: web.BaseRequest, found: Found[_Endpoint] | None) -> Refusal:
    path = request.rel_url.raw_path
    if found is None:
        text = f"there is nothing at {path}; /openapi.json lists what there is"
        return Refusal(404, "ERR_NOT_FOUND", text)
    allowed = ", ".join(sorted(found.by_method))
    text = f"{request.method} is not possible at {path}, only {allowed}"
    return Refusal(405, "ERR_METHOD_NOT_ALLOWED", text, {"Allow": allowed})
