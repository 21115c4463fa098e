"""Reruns over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure.actors.errors import NodeStopping
from perdure.runtime.workflow.errors import (
    InstanceCreatedBefore,
    NothingToRerun,
    NotRerunnable,
)
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.history import Trace
from tests.rpc.frames import field, text
from tests.rpc.serving import Hub, ending, serving


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving() as found:
        yield found


RERUN = field(1, "order-1") + field(2, 3)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (b"", Rerun(event_id=3)),
        (field(3, ""), Rerun(event_id=3)),
        (field(3, "order-2"), Rerun(event_id=3, new_id="order-2")),
        (text(4, "7"), Rerun(event_id=3)),
        (text(4, "7") + field(5, 1), Rerun(event_id=3, input="7", overwrite_input=True)),
        (field(5, 1), Rerun(event_id=3, overwrite_input=True)),
        (field(6, "kid"), Rerun(event_id=3, child_id="kid")),
        (field(7, field(1, "shop") + field(2, "shop")), Rerun(event_id=3)),
    ],
)
async def test_a_rerun_is_asked_for_as_it_was_said(hub: Hub, more: bytes, wanted: Rerun) -> None:
    answer = await hub.client.raw("RerunWorkflowFromEvent", RERUN + more)
    assert answer == field(1, wanted.new_id or "made")
    assert hub.service.calls == [("rerun", "order-1", wanted)]


async def test_a_rerun_belongs_to_the_span_of_its_call(hub: Hub) -> None:
    beside = (("traceparent", "00-1-2-01"), ("tracestate", "s=1"))
    await hub.client.raw("RerunWorkflowFromEvent", RERUN, metadata=beside)
    wanted = Rerun(event_id=3, trace=Trace("00-1-2-01", "s=1"))
    assert hub.service.calls == [("rerun", "order-1", wanted)]


@pytest.mark.parametrize(
    ("data", "code", "details"),
    [
        (field(2, 3), "INVALID_ARGUMENT", "rerun workflow source instance ID is required"),
        (
            RERUN + field(7, field(2, "bank")),
            "NOT_FOUND",
            "no node of this cluster is of app 'bank'",
        ),
    ],
)
async def test_a_rerun_of_nothing_or_elsewhere_is_refused(
    hub: Hub, data: bytes, code: str, details: str
) -> None:
    assert await ending(hub.client.raw("RerunWorkflowFromEvent", data)) == (code, details)
    assert hub.service.calls == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotRerunnable("'order-1' is not in a terminal state"), "INVALID_ARGUMENT"),
        (NothingToRerun("does not have history event with ID '3'"), "NOT_FOUND"),
        (InstanceCreatedBefore("order-2"), "ALREADY_EXISTS"),
        (NodeStopping("bye"), "UNAVAILABLE"),
    ],
)
async def test_a_rerun_that_is_refused_says_why(hub: Hub, error: Exception, code: str) -> None:
    hub.service.failing = error
    assert await ending(hub.client.raw("RerunWorkflowFromEvent", RERUN)) == (code, str(error))
