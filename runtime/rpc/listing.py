"""Lists of instances: ids, states, and the filters of Microsoft's clients. An edge module.

Every list goes through the instances in the order of their creation, in pages of the store. A token
names the last one that was given and the query that it belongs to; clients hand it back as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from perdure.runtime.api import cursor
from perdure.runtime.api.parsing import BAD_REQUEST, shown
from perdure.runtime.rpc import states
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.methods import Caller, Methods, Unary
from perdure.runtime.rpc.ports import Workflows
from perdure.runtime.rpc.values import text_in
from perdure.runtime.workflow.errors import InstanceNotFound, InvalidRequest
from perdure.runtime.workflow.history import TERMINAL
from perdure.runtime.workflow.records import Instance, ListQuery

PAGE = 1024
"""Instances on a page of which nobody says how long it is, and on the longest."""
READ_AT_ONCE = 128
"""Rows of the store that are in memory at a time; each may hold an output of megabytes."""
ANSWER_BYTES = 2 << 20
"""A page of states ends before it has more bytes, unless one state alone has: a client need not
take more than 4 MiB."""


class ListMethods:
    """The methods that list."""

    def __init__(self, service: Workflows) -> None:
        self._service = service

    def table(self) -> Methods:
        return {
            "ListInstanceIDs": Unary(pb.ListInstanceIDsRequest, self.list_ids),
            "ListInstanceIds": Unary(pb.ListInstanceIdsRequest, self.list_finished_ids),
            "QueryInstances": Unary(pb.QueryInstancesRequest, self.query),
        }

    async def list_ids(
        self, request: pb.ListInstanceIDsRequest, caller: Caller
    ) -> pb.ListInstanceIDsResponse:
        """Dapr's: every instance of the app."""
        query = _from_token(ListQuery(newest_first=False), request.continuationToken)
        size = _page_size(request.pageSize)
        answer = pb.ListInstanceIDsResponse()
        async for row, is_last in instances(self._service, query, size):
            answer.instanceIds.append(row.instance_id)
            if len(answer.instanceIds) == size:
                if not is_last:
                    answer.continuationToken = cursor.at(query, row.key)
                break
        return answer

    async def list_finished_ids(
        self, request: pb.ListInstanceIdsRequest, caller: Caller
    ) -> pb.ListInstanceIdsResponse:
        """Microsoft's other spelling, whose filter is when an instance has finished."""
        query = ListQuery(statuses=states.statuses(request.runtimeStatus), newest_first=False)
        query = _from_token(query, text_in(request, "lastInstanceKey"))
        size = _page_size(request.pageSize)
        since, until = states.time(request, "completedTimeFrom"), _until(request, "completedTimeTo")
        answer = pb.ListInstanceIdsResponse()
        async for row, is_last in instances(self._service, query, size):
            if _has_finished_between(row, since, until):
                answer.instanceIds.append(row.instance_id)
            if len(answer.instanceIds) == size:
                if not is_last:
                    answer.lastInstanceKey.value = cursor.at(query, row.key)
                break
        return answer

    async def query(
        self, request: pb.QueryInstancesRequest, caller: Caller
    ) -> pb.QueryInstancesResponse:
        """Microsoft's: the states of instances."""
        asked = request.query
        query = ListQuery(
            statuses=states.statuses(asked.runtimeStatus),
            created_from_us=states.time(asked, "createdTimeFrom"),
            created_before_us=_until(asked, "createdTimeTo"),
            id_prefix=text_in(asked, "instanceIdPrefix") or None,
            newest_first=False,
        )
        query = _from_token(query, text_in(asked, "continuationToken"))
        size = _page_size(asked.maxInstanceCount)
        answer = pb.QueryInstancesResponse()
        total = key_before = 0
        async for row, is_last in instances(self._service, query, size):
            state = await self._state(row, asked.fetchInputsAndOutputs)
            more = 0 if state is None else state.ByteSize()
            if total and total + more > ANSWER_BYTES:
                answer.continuationToken.value = cursor.at(query, key_before)
                break
            if state is not None:
                answer.orchestrationState.append(state)
                total += more
            if len(answer.orchestrationState) == size:
                if not is_last:
                    answer.continuationToken.value = cursor.at(query, row.key)
                break
            key_before = row.key
        return answer

    async def _state(self, row: Instance, with_payloads: bool) -> pb.WorkflowState | None:
        if not with_payloads:
            return states.state(row)
        try:
            view = await self._service.get(row.instance_id)  # The input is not part of the row.
        except InstanceNotFound:
            return None  # Purged meanwhile.
        return states.whole_state(view)


async def instances(
    service: Workflows, query: ListQuery, wanted: int = READ_AT_ONCE
) -> AsyncIterator[tuple[Instance, bool]]:
    """All instances of a query, and of each whether it is the last one."""
    at_once = min(wanted, READ_AT_ONCE)
    while True:
        page = await service.page(replace(query, limit=at_once))
        for number, row in enumerate(page.rows, 1):
            yield row, page.next_key is None and number == len(page.rows)
        if page.next_key is None:
            return
        query = replace(query, after_key=page.next_key)


def purge_query(given: pb.PurgeInstanceFilter) -> ListQuery | None:
    """What a purge filter selects, of what is finished; None if that is nothing."""
    wanted = set(states.statuses(given.runtimeStatus))
    finished = TERMINAL & wanted if wanted else TERMINAL
    if not finished:
        return None
    return ListQuery(
        statuses=tuple(sorted(finished)),
        created_from_us=states.time(given, "createdTimeFrom"),
        created_before_us=_until(given, "createdTimeTo"),
        newest_first=False,
    )


def _has_finished_between(row: Instance, since: int | None, before: int | None) -> bool:
    if since is None and before is None:
        return True  # Whether it has finished or not.
    return (
        row.status.is_terminal
        and (since is None or since <= row.updated_us)
        and (before is None or row.updated_us < before)
    )


def _until(
    message: pb.PurgeInstanceFilter | pb.InstanceQuery | pb.ListInstanceIdsRequest, field: str
) -> int | None:
    """The end of a span of time that includes it; a query's does not."""
    found = states.time(message, field)
    return None if found is None else found + 1


def _page_size(wanted: int) -> int:
    return min(wanted, PAGE) if wanted > 0 else PAGE


def _from_token(query: ListQuery, token: str | None) -> ListQuery:
    if not token:
        return query
    try:
        return cursor.after(query, token)
    except InvalidRequest:
        text = f"continuation token {shown(token)} is none that this query gave"
        raise InvalidRequest(BAD_REQUEST, text) from None
