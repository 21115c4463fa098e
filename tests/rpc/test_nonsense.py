"""Requests of any content, to every method: an answer or a refusal, and never an error of ours."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perdure.runtime.environment import SystemEnv
from perdure.runtime.rpc.methods import Caller, Method, Unary
from perdure.runtime.rpc.services import services
from perdure.runtime.rpc.statuses import DETAILS_BYTES_MAX, RpcStatus
from perdure.runtime.rpc.worker_methods import WorkerConfig, WorkerMethods
from perdure.runtime.workflow.workers.pool import WorkerPool
from tests.rpc.frames import field
from tests.rpc.serving import METADATA, Workflows
from tests.rpc.test_stubs import messages
from tests.support.http_service import FakeScenarios

NAMES = [
    (service, name)
    for service, methods in services(
        Workflows(),
        WorkerMethods(WorkerPool(SystemEnv()), SystemEnv(), WorkerConfig()),
        "shop",
        lambda: METADATA,
    ).items()
    for name in methods
]
CALLER = Caller("peer", (("traceparent", "\x00"), ("x-bin", b"\xff")), lambda: 30.0)


@pytest.mark.parametrize(("service", "name"), NAMES)
@settings(max_examples=30, deadline=None, database=None)
@given(raw=st.binary(max_size=40) | messages, known=st.booleans())
@example(raw=field(4, b"\xff"), known=True)  # Microsoft's batch of ids to purge.
def test_every_method_answers_nonsense_with_a_status_of_the_client(
    service: str, name: str, raw: bytes, known: bool
) -> None:
    """`known`: it is about an instance that is there."""
    asyncio.run(_told(service, name, field(1, "order-1") + raw if known else raw))


async def _told(service: str, name: str, raw: bytes) -> None:
    behind = Workflows()
    behind.has_closed = True  # Nobody waits.
    await FakeScenarios(behind).running("order-1")
    workers = WorkerMethods(WorkerPool(SystemEnv()), SystemEnv(), WorkerConfig())
    method = services(behind, workers, "shop", lambda: METADATA)[service][name]
    try:
        status = await _status(method, method.request.FromString(raw))
    except DecodeError:
        return  # Refused by that, for every method.
    if status is not None:
        assert not status.is_unexpected, status
        assert len(status.details.encode()) <= DETAILS_BYTES_MAX + 3


async def _status(method: Method, request: Any) -> RpcStatus | None:
    """How the call ends, None for well; a stream ends after its first item."""
    try:
        if isinstance(method, Unary):
            (await method.answer(request, CALLER)).SerializeToString()
            return None
        stream: Any = method.items(request, CALLER)
        async with aclosing(stream) as items, asyncio.timeout(0):
            async for item in items:
                assert item is not None
    except TimeoutError:
        return None  # It waits for work to come.
    except DecodeError:
        raise
    except Exception as error:
        return method.refuse(error, request)
    return None
