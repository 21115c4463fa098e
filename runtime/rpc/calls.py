"""From a gRPC call to the function that answers it, from its error to a status. An owner module.

One handler for all methods, because gRPC by itself names no method that it does not know and calls
a message that cannot be read our own fault.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, nullcontext
from typing import Any, NoReturn

import grpc.aio
from google.protobuf.message import DecodeError
from grpc import StatusCode

from perdure.actors.errors import NodeStopping, Retryable
from perdure.runtime.rpc.methods import Caller, Method, Methods, Streaming, Unary, texts
from perdure.runtime.rpc.statuses import STOPPING, RpcRefused, RpcStatus, shortened

TOKEN_KEY = "dapr-api-token"

logger = logging.getLogger(__name__)

# The types of grpc.aio say less than it does: a context is given as `Any`.
_Answer = Callable[[bytes, Any], Awaitable[bytes]]
_Write = Callable[[bytes, Any], Awaitable[None]]


class NodeBusy(Retryable):
    """As many calls run as this node takes."""


class _ClientGone(Exception):
    """What was written has reached nobody, and nothing else will."""


class Calls(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # Generic in the stubs only.
    """Answers the calls of all services, and breaks off at the end what only waits."""

    def __init__(
        self,
        services: Mapping[str, Methods],
        *,
        tokens: Sequence[str],
        calls_max: int,
        request_bytes_max: int,
    ) -> None:
        self._services = services
        self._tokens = [token.encode() for token in tokens]
        self._calls_max = calls_max
        self._request_bytes_max = request_bytes_max
        self._running = 0
        self._waiting: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._ended = asyncio.Event()
        """None runs; set only once it is closing."""
        self._handlers = {
            f"/{service}/{name}": self._handler(name, method)
            for service, methods in services.items()
            for name, method in methods.items()
        }

    def close(self) -> None:
        """Refuse calls from now on, and break off those that wait, streams included."""
        self._closing = True
        for task in self._waiting:
            task.cancel()
        if not self._running:
            self._ended.set()

    async def ended(self) -> None:
        """Wait until no call runs any more, once it is closed."""
        await self._ended.wait()

    # ---- which handler

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any]:
        """gRPC asks for the handler of a call."""
        if self._tokens and not self._knows_token(handler_call_details.invocation_metadata):
            return _refusing(RpcStatus(StatusCode.UNAUTHENTICATED, "invalid api token"))
        path: str = handler_call_details.method
        return self._handlers.get(path) or _refusing(self._unknown(path))

    def _knows_token(self, metadata: Sequence[tuple[str, str | bytes]]) -> bool:
        given = texts(metadata).get(TOKEN_KEY, "").encode()
        # Every token is compared, so that the time does not tell which one was near.
        return any([hmac.compare_digest(given, token) for token in self._tokens])

    def _unknown(self, path: str) -> RpcStatus:
        service, _, name = path.removeprefix("/").rpartition("/")
        if service in self._services:
            text = f"unknown method {name} for service {service}"
        else:
            text = f"unknown service {service} (of the method {path})"
        return RpcStatus(StatusCode.UNIMPLEMENTED, shortened(text))

    def _handler(self, name: str, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        if isinstance(method, Unary):
            answer: Any = self._unary(name, method)
            return grpc.unary_unary_rpc_method_handler(answer)
        write: Any = self._streaming(name, method)
        return grpc.unary_stream_rpc_method_handler(write)

    # ---- one call

    def _unary(self, name: str, method: Unary[Any]) -> _Answer:
        async def answer(data: bytes, context: Any) -> bytes:
            request = None
            try:
                with self._counted(), self._broken_off() if method.waits else nullcontext():
                    if not method.is_large:
                        self._check_size(data)
                    request = method.request.FromString(data)
                    given = await method.answer(request, _caller(context))
                    encoded: bytes = given.SerializeToString()
                    return encoded
            except Exception as error:
                status = _status_of(error, name, method, request)
            await _abort(context, status)

        return answer

    def _streaming(self, name: str, method: Streaming[Any]) -> _Write:
        async def write(data: bytes, context: Any) -> None:
            request = None
            try:
                with self._counted(), self._broken_off():
                    self._check_size(data)
                    request = method.request.FromString(data)
                    stream: Any = method.items(request, _caller(context))
                    async with aclosing(stream) as items:
                        async for item in items:
                            encoded = item if type(item) is bytes else item.SerializeToString()
                            await _write(context, encoded)
                return
            except _ClientGone as gone:
                raise asyncio.CancelledError from gone  # As gRPC says it, a moment later.
            except Exception as error:
                status = _status_of(error, name, method, request)
            await _abort(context, status)

        return write

    def _check_size(self, data: bytes) -> None:
        """As gRPC does it, which has one limit for all methods."""
        size, most = len(data), self._request_bytes_max
        if size > most:
            text = f"SERVER: Received message larger than max ({size} vs. {most})"
            raise RpcRefused(StatusCode.RESOURCE_EXHAUSTED, text)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._closing:
            raise NodeStopping(STOPPING)
        if self._running >= self._calls_max:
            raise NodeBusy("this node has as many calls as it takes")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if self._closing and not self._running:
                self._ended.set()

    @contextmanager
    def _broken_off(self) -> Iterator[None]:
        """Turn the cancellation by `close` into an error; gRPC's own is that of the client."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._closing or task.uncancel() > 0:
                raise
            raise NodeStopping(STOPPING) from None
        finally:
            self._waiting.discard(task)


def _status_of(error: Exception, name: str, method: Method, request: Any) -> RpcStatus:
    if isinstance(error, DecodeError):
        text = f"the request of {name} cannot be read: {error}"
        return RpcStatus(StatusCode.INVALID_ARGUMENT, shortened(text))
    status = method.refuse(error, method.request() if request is None else request)
    if status.is_unexpected:
        logger.error(
            "request failed", exc_info=error, extra={"event": "rpc_request_failed", "method": name}
        )
    return status


async def _write(context: Any, data: bytes) -> None:
    try:
        await context.write(data)
    except grpc.aio.InternalError as error:
        raise _ClientGone from error


def _refusing(status: RpcStatus) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler for any kind of method, which reads nothing of what is sent."""

    async def refuse(messages: object, context: Any) -> None:
        await _abort(context, status)

    handler: Any = refuse
    return grpc.stream_stream_rpc_method_handler(handler)


async def _abort(context: Any, status: RpcStatus) -> NoReturn:
    """End a call, by an exception of gRPC's."""
    metadata: tuple[tuple[str, str], ...] = ()
    if status.retry_after is not None:
        # Read by clients whose own settings say that they try again.
        metadata = (("grpc-retry-pushback-ms", str(round(status.retry_after * 1000))),)
    await context.abort(status.code, status.details, metadata)
    raise AssertionError("a call goes on that was ended")


def _caller(context: Any) -> Caller:
    # All of it at once: to ask gRPC's context after the call ends the process.
    return Caller(context.peer(), context.invocation_metadata() or (), context.time_remaining)
