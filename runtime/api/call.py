"""One request in the hands of a handler: its parameters, its body, its answer. An edge module."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import StreamReader, hdrs, web

from perdure.runtime.api.errors import HttpRefused, Refusal
from perdure.runtime.api.operations import Operation
from perdure.runtime.api.parameters import APP_ID, Parameter, Place
from perdure.runtime.api.parsing import BAD_REQUEST, other_app, shown
from perdure.runtime.api.ports import ApiConfig
from perdure.runtime.workflow.errors import InvalidRequest

T = TypeVar("T")

QUERY_FIELDS_MAX = 100
BODY_READ = "ERR_BODY_READ"
MALFORMED = "ERR_MALFORMED_REQUEST"

# The server's own header would tell the versions of Python and aiohttp to everybody.
_EMPTY_HEADERS = {"Server": "perdure"}
_JSON_HEADERS = {"Server": "perdure", "Content-Type": "application/json"}
_TEXT_HEADERS = {"Server": "perdure", "Content-Type": "text/plain; charset=utf-8"}


class _Message(msgspec.Struct):
    """The request messages of Dapr's gRPC API, as far as they are looked at, in both spellings."""

    instance_id: str | None = None
    instanceId: str | None = None
    workflow_component: str | None = None
    workflowComponent: str | None = None
    app_id: str | None = None
    appId: str | None = None


class _TerminateMessage(_Message):
    output: str | None = None
    """What the instance ends with, JSON text. An extension: Dapr's HTTP API has no output."""


_message = msgspec.json.Decoder(_Message).decode
_terminate_message = msgspec.json.Decoder(_TerminateMessage).decode

M = TypeVar("M", bound=_Message)


class Call:
    """What a handler knows of its request."""

    __slots__ = ("_config", "_query", "operation", "path", "request")

    def __init__(
        self,
        request: web.BaseRequest,
        operation: Operation,
        path: Mapping[str, str],
        config: ApiConfig,
    ) -> None:
        self.request = request
        self.operation = operation
        self.path = path
        self._config = config
        raw = request.rel_url.raw_query_string
        self._query = _query(raw) if raw else {}
        if operation.strict and raw:
            self._refuse_unknown()

    def read(self, parameter: Parameter[T]) -> T:
        """The value of a parameter. Raises `InvalidRequest`."""
        place = parameter.place
        if place is Place.PATH:
            return parameter.parse(self.path.get(parameter.name))
        if place is Place.HEADER:
            return parameter.parse(self.request.headers.get(parameter.name))
        given = self._query.get(parameter.name)
        if given is None:
            return parameter.parse(None)
        return parameter.parse(",".join(given) if parameter.repeated else given[0])

    def app(self, in_body: str | None = None) -> str | None:
        """The app that the request is for, if it is another one than the node's."""
        wanted = (self.read(APP_ID) if self._query else None) or in_body
        return other_app(wanted, self._config.app_id)

    def _refuse_unknown(self) -> None:
        known = [p.name for p in self.operation.parameters if p.place is Place.QUERY]
        for name in self._query:
            if name not in known:
                raise InvalidRequest(
                    BAD_REQUEST,
                    f"unknown query parameter {shown(name)}; known are {', '.join(known)}",
                )

    async def text(self) -> str:
        """The body, which must be UTF-8, as it is."""
        body = await self._body()
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise _malformed(
                f"the body is not UTF-8 text (byte {error.start} is 0x{body[error.start]:02x})"
            ) from error

    async def message(self) -> str | None:
        """Check the body, of which no more is used than the app; returns that, as `app` does."""
        return self._checked(_message, await self._body())[0]

    async def output(self) -> tuple[str | None, str | None]:
        """The same, and the output from the body of a terminate."""
        app, sent = self._checked(_terminate_message, await self._body())
        return app, None if sent is None else sent.output

    def _checked(self, decode: Callable[[bytes], M], body: bytes) -> tuple[str | None, M | None]:
        sent: M | None = None
        if body:
            try:
                sent = decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise _malformed(str(error)) from error
            except RecursionError as error:
                raise _malformed("the JSON is nested too deeply") from error
        app = self.app(None if sent is None else sent.app_id or sent.appId)
        return app, sent

    async def _body(self) -> bytes:
        request = self.request
        encoding = request.headers.get(hdrs.CONTENT_ENCODING)
        if encoding is not None and encoding.lower() != "identity":
            problem = f"Content-Encoding {encoding!r} is not supported; send the body uncompressed"
            raise _unreadable(problem, status=415)
        content, limit = request.content, self._config.body_bytes_max
        try:
            if content.is_eof():
                # The usual case: the body is small and has arrived together with the head.
                body: bytes = content.read_nowait()
                if len(body) > limit:
                    raise _unreadable(_too_large(limit))
                return body
            if (request.content_length or 0) > limit:
                raise _unreadable(_too_large(limit))
            async with asyncio.timeout(self._config.body_seconds_max):
                await self._invite_body()
                return await _read(content, limit)
        except TimeoutError as error:
            problem = f"the body did not arrive within {self._config.body_seconds_max:g} s"
            raise _unreadable(problem) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise _unreadable(str(error) or type(error).__name__) from error

    async def _invite_body(self) -> None:
        """Tell a client that waits to hear whether its body is wanted."""
        expected = self.request.headers.get(hdrs.EXPECT)
        if expected is None:
            return
        if expected.lower() != "100-continue":
            problem = f"the expectation {expected!r} cannot be met, only 100-continue"
            raise _unreadable(problem, status=417)
        await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(content: StreamReader, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while not content.at_eof():
        piece = await content.readany()
        size += len(piece)
        if size > limit:
            raise _unreadable(_too_large(limit))
        pieces.append(piece)
    return b"".join(pieces)


def _query(raw: str) -> dict[str, list[str]]:
    """The parameters of a query string, each with all its values."""
    query: dict[str, list[str]] = {}
    try:
        for name, value in _pairs(raw):
            query.setdefault(name, []).append(value)
    except ValueError as error:
        raise InvalidRequest(BAD_REQUEST, f"the query cannot be read: {error}") from error
    return query


def _pairs(raw: str) -> Iterable[tuple[str, str]]:
    if "%" in raw or "+" in raw or not raw.isascii():
        raw.encode()  # The server lets bytes through that are no text.
        return parse_qsl(
            raw, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX
        )
    # What needs no decoding is most of what comes, and this is ten times as fast.
    fields = [field.partition("=") for field in raw.split("&") if field]
    if len(fields) > QUERY_FIELDS_MAX:
        raise ValueError("Max number of fields exceeded")
    return [(name, value) for name, _, value in fields]


def _too_large(limit: int) -> str:
    return f"http: request body too large (the limit is {limit} bytes)"


def _unreadable(problem: str, status: int = 400) -> HttpRefused:
    # What is left of the body is not worth reading: the connection ends with the answer.
    message = f"failed to read request body: {problem}"
    return HttpRefused(Refusal(status, BODY_READ, message, {"Connection": "close"}))


def _malformed(problem: str) -> InvalidRequest:
    return InvalidRequest(MALFORMED, f"failed deserializing HTTP body: {problem}")


def answer(status: int, document: object) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=msgspec.json.encode(document), headers=_JSON_HEADERS)


def answer_bytes(status: int, body: bytes) -> web.Response:
    """A JSON answer that is encoded already."""
    return web.Response(status=status, body=body, headers=_JSON_HEADERS)


def answer_nothing(status: int) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status, headers=_EMPTY_HEADERS)


def answer_text(status: int, text: str) -> web.Response:
    return web.Response(status=status, body=text.encode(), headers=_TEXT_HEADERS)


def answer_refusal(refusal: Refusal) -> web.Response:
    """An error as JSON."""
    response = answer_bytes(refusal.status, refusal.body())
    response.headers.update(refusal.headers)
    if "Connection" in refusal.headers:
        response.force_close()
    return response
