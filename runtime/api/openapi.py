"""The OpenAPI document, rendered from the table that routes and validates. A value module."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from perdure.runtime.api.answers import Error
from perdure.runtime.api.operations import PREFIXES, Body, Operation
from perdure.runtime.api.parameters import Parameter, Place

Json = dict[str, Any]

_ABOUT = """\
Dapr's workflow management API, and lists, histories and waits besides. The same operations stand
under each of the prefixes of `servers`. A refused request is answered with an `Error`. If it has a
`Retry-After`, the request may be sent again; an `Idempotency-Key` makes that harmless."""
_TOKEN = {"token": {"type": "apiKey", "in": "header", "name": "dapr-api-token"}}
_REF = "#/components/schemas/{name}"


def document(operations: Iterable[Operation], version: str) -> Json:
    """OpenAPI 3.1, as plain JSON data."""
    table = list(operations)
    types = [op.answer for op in table if op.answer is not None]
    _, schemas = msgspec.json.schema_components([Error, *types], ref_template=_REF)
    paths: Json = {}
    for op in table:
        entry = paths.setdefault(op.path, {})
        entry[op.method.lower()] = _operation(op)
        if op.at_root:
            entry["servers"] = [{"url": "/"}]
    return {
        "openapi": "3.1.0",
        "info": {"title": "perdure", "version": version, "description": _ABOUT},
        "servers": [{"url": prefix} for prefix in PREFIXES],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _TOKEN},
        "security": [{"token": []}, {}],
    }


def _operation(op: Operation) -> Json:
    described: Json = {
        "operationId": op.name,
        "summary": op.about.partition(". ")[0].rstrip("."),
        "description": op.about,
        "parameters": [_parameter(parameter) for parameter in op.parameters],
        "responses": _responses(op),
    }
    body = _body(op.body)
    if body is not None:
        described["requestBody"] = body
    if op.public:
        described["security"] = []
    return described


def _parameter(parameter: Parameter[Any]) -> Json:
    described: Json = {
        "name": parameter.name,
        "in": parameter.place.value,
        "description": parameter.about,
        "schema": dict(parameter.schema),
    }
    if parameter.place is Place.PATH:
        described["required"] = True
    return described


def _body(body: Body) -> Json | None:
    match body:
        case Body.NONE:
            return None
        case Body.TEXT:
            content: Json = {"application/json": {}, "text/plain": {"schema": {"type": "string"}}}
        case Body.MESSAGE:
            content = {"application/json": {"schema": {"type": "object"}}}
        case Body.TERMINATE:
            output = {"output": {"type": ["string", "null"]}}
            content = {"application/json": {"schema": {"type": "object", "properties": output}}}
    return {"required": False, "description": body.value, "content": content}


def _responses(op: Operation) -> Json:
    success: Json = {"description": HTTPStatus(op.success).phrase}
    if op.answer is not None:
        success["content"] = _json({"$ref": _REF.format(name=op.answer.__name__)})
    elif op.success == 200:
        success["content"] = _json({"type": "object"})
    responses: Json = {str(op.success): success}
    for status in sorted({*op.refusals, 403}):
        responses[str(status)] = _refusal(status)
    if not op.public:
        text = {"text/plain": {"schema": {"type": "string"}}}
        responses["401"] = {"description": HTTPStatus(401).phrase, "content": text}
    return responses


def _refusal(status: int) -> Json:
    refusal: Json = {
        "description": HTTPStatus(status).phrase,
        "content": _json({"$ref": _REF.format(name=Error.__name__)}),
    }
    if status in (429, 503):
        about = "Seconds after which to try again."
        refusal["headers"] = {
            "Retry-After": {"description": about, "schema": {"type": "integer", "minimum": 1}}
        }
    return refusal


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
