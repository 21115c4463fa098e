"""The operations on workflows: parse, call the service, render. An edge module."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from itertools import islice

from aiohttp import web

from perdure.runtime.api import answers, cursor, render
from perdure.runtime.api import parameters as p
from perdure.runtime.api.call import Call, answer, answer_bytes
from perdure.runtime.api.connection import given_up_with_the_client
from perdure.runtime.api.parsing import bad_request
from perdure.runtime.api.ports import Workflows
from perdure.runtime.workflow.errors import InstanceNotFound, NotCompleted
from perdure.runtime.workflow.history import Status, Trace
from perdure.runtime.workflow.records import ListQuery
from perdure.runtime.workflow.workers.seen import as_seen

WAIT_SECONDS_DEFAULT = 30.0
EVENTS_AT_ONCE = 1_000

_EMPTY = b"{}"


class WorkflowHandlers:
    """One method per operation."""

    def __init__(self, service: Workflows) -> None:
        self._service = service

    async def start(self, call: Call) -> web.Response:
        name = call.read(p.WORKFLOW_NAME)
        instance_id = call.read(p.NEW_INSTANCE_ID)
        start_at_us = call.read(p.START_TIME)
        key = call.read(p.IDEMPOTENCY_KEY)
        parent = call.read(p.TRACEPARENT)
        service = await self._service.of(call.app())
        if instance_id is None and key is not None:
            instance_id = instance_id_of(name, key)
        instance_id = await service.start(
            name,
            await call.text(),
            instance_id=instance_id,
            start_at_us=start_at_us,
            idempotency_key=key,
            trace=None if parent is None else Trace(parent, call.read(p.TRACESTATE)),
        )
        return answer(202, answers.Started(instance_id=instance_id))

    async def get(self, call: Call) -> web.Response:
        instance_id = call.read(p.INSTANCE_ID)
        service = await self._service.of(call.app())
        until, timeout = call.read(p.WAIT), call.read(p.TIMEOUT)
        if until is None:
            if timeout is not None:
                raise bad_request("timeout", "it needs the parameter 'wait'")
            return answer(200, render.workflow(await service.get(instance_id)))
        seconds = WAIT_SECONDS_DEFAULT if timeout is None else timeout
        with given_up_with_the_client(call):
            view = await service.wait(instance_id, until=until, timeout=seconds)
        return answer(200, render.awaited_workflow(view))

    async def raise_event(self, call: Call) -> web.Response:
        instance_id, event = call.read(p.INSTANCE_ID), call.read(p.EVENT_NAME)
        key = call.read(p.IDEMPOTENCY_KEY)
        service = await self._service.of(call.app())
        await service.raise_event(instance_id, event, await call.text(), idempotency_key=key)
        return answer_bytes(202, _EMPTY)

    async def pause(self, call: Call) -> web.Response:
        instance_id = call.read(p.INSTANCE_ID)
        service = await self._service.of(await call.message())
        await service.suspend(instance_id)
        return answer_bytes(202, _EMPTY)

    async def resume(self, call: Call) -> web.Response:
        instance_id = call.read(p.INSTANCE_ID)
        service = await self._service.of(await call.message())
        await service.resume(instance_id)
        return answer_bytes(202, _EMPTY)

    async def terminate(self, call: Call) -> web.Response:
        instance_id, recursive = call.read(p.INSTANCE_ID), call.read(p.RECURSIVE)
        app, output = await call.output()
        service = await self._service.of(app)
        await service.terminate(instance_id, output, recursive=recursive)
        return answer_bytes(202, _EMPTY)

    async def purge(self, call: Call) -> web.Response:
        instance_id = call.read(p.INSTANCE_ID)
        force, recursive = call.read(p.FORCE), call.read(p.RECURSIVE)
        service = await self._service.of(await call.message())
        try:
            await service.purge(instance_id, recursive=recursive, force=force)
        except NotCompleted as error:
            # To a purge, Dapr's PENDING instance does not exist yet: its history is empty.
            if (await service.get(instance_id)).row.status is Status.PENDING:
                raise InstanceNotFound(instance_id) from error
            raise
        return answer_bytes(202, _EMPTY)

    async def list(self, call: Call) -> web.Response:
        service = await self._service.of(call.app())
        query = ListQuery(
            statuses=call.read(p.STATUSES),
            name=call.read(p.NAME),
            id_prefix=call.read(p.PREFIX),
            created_from_us=call.read(p.CREATED_FROM),
            created_before_us=call.read(p.CREATED_BEFORE),
            newest_first=call.read(p.ORDER),
            limit=call.read(p.LIMIT),
            after_key=None,
        )
        with_counts, given = call.read(p.COUNTS), call.read(p.CURSOR)
        page = await service.page(cursor.after(query, given) if given else query)
        counts = await service.counts(query) if with_counts else None
        return answer(
            200,
            answers.WorkflowList(
                instances=[render.listed(row) for row in page.rows],
                cursor=None if page.next_key is None else cursor.at(query, page.next_key),
                counts=None
                if counts is None
                else {render.status_name(status): counts[status] for status in sorted(counts)},
            ),
        )

    async def history(self, call: Call) -> web.Response:
        instance_id = call.read(p.INSTANCE_ID)
        service = await self._service.of(call.app())
        row, turns = await service.history(instance_id)
        events: list[answers.HistoryEvent] = []
        rest = render.events(row, as_seen(turns))
        while part := list(islice(rest, EVENTS_AT_ONCE)):
            events += part
            await asyncio.sleep(0)  # A long history must not hold up the workflows of this node.
        return answer(
            200,
            answers.WorkflowHistory(
                instance_id=row.instance_id,
                workflow_name=row.name,
                runtime_status=render.status_name(row.status),
                events=events,
            ),
        )


def instance_id_of(name: str, key: str) -> str:
    """The id of an instance that is started with an idempotency key and no id of its own.

    The same for every repeat, on every node and in every release.
    """
    content = b"%d:%s%s" % (len(name.encode()), name.encode(), key.encode())
    digest = hashlib.blake2b(content, digest_size=16, person=b"perdure start").digest()
    return str(uuid.UUID(bytes=digest, version=5))
