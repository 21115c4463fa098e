"""Answers of which a client with gRPC's own limit of 4 MiB gets every part."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.history import Status
from tests.rpc.serving import Hub, serving
from tests.support.http_service import BORN_US

SIZES = [800_000, 3_800_000, 800_000]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving() as found:
        yield found


async def test_a_page_of_states_ends_before_a_state_that_would_make_it_too_large(hub: Hub) -> None:
    for number, size in enumerate(SIZES):
        row = hub.service.new_row(f"o{number}", Status.COMPLETED)
        hub.service.put(msgspec.structs.replace(row, output="x" * size), "1")
    token, pages = None, []
    while token != "":
        query = pb.InstanceQuery(fetchInputsAndOutputs=True)
        if token:
            query.continuationToken.value = token
        request = pb.QueryInstancesRequest(query=query)
        answer = await hub.client.call("QueryInstances", request, pb.QueryInstancesResponse)
        pages.append([state.instanceId for state in answer.orchestrationState])
        token = answer.continuationToken.value
    assert pages == [["o0"], ["o1"], ["o2"]]


async def test_a_chunk_of_a_history_ends_before_an_event_that_would_make_it_too_large(
    hub: Hub,
) -> None:
    await hub.scenarios.completed("o")
    events = [h.EventRaised("go", "x" * size, f"r{size}") for size in SIZES]
    hub.service.turns["o"] = [h.Turn(BORN_US, (h.ExecutionStarted("order"), *events))]
    request = pb.StreamInstanceHistoryRequest(instanceId="o")
    stream = hub.client.stream("StreamInstanceHistory", request.SerializeToString())
    chunks = [pb.HistoryChunk.FromString(chunk) async for chunk in stream]
    told = [[len(event.eventRaised.input.value) for event in chunk.events] for chunk in chunks]
    assert told == [[0, 0, SIZES[0]], [SIZES[1]], [SIZES[2]]]
