"""Any order of management calls: an instance does what a model of three fields does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import WorkflowContext
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.errors import InstanceExists, InstanceNotFound, NotCompleted
from perdure.runtime.workflow.registry import Registry
from tests.properties.desk import Desk, events_of

S = h.Status


async def collects(ctx: WorkflowContext) -> list[Any]:
    """Takes items until `end`, each under a long timeout that must not stay behind."""
    items: list[Any] = []
    while True:
        async with asyncio.timeout(3600):
            item = await ctx.wait_for_external_event("item")
        if item == "end":
            return items
        items.append(item)
        ctx.set_custom_status(str(len(items)))


@dataclass
class Model:
    """What an instance is to those who manage it."""

    status: h.Status = S.RUNNING
    items: list[Any] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def take(self, item: Any) -> None:
        if self.status is S.SUSPENDED:
            self.held.append(item)
        elif self.status is S.RUNNING:
            if item == "end":
                self.status = S.COMPLETED
            else:
                self.items.append(item)

    def resume(self) -> None:
        self.status = S.RUNNING
        held, self.held = self.held, []
        for item in held:
            self.take(item)


class Managed:
    """A real instance on a desk and its model, moved together."""

    def __init__(self, evicts: bool) -> None:
        registry = Registry()
        registry.add_workflow(collects)
        self.desk = Desk(registry, evicts=evicts)
        self.model: Model | None = None
        self.count = 0

    def start(self, _: int) -> None:
        if self.model is not None and not self.model.status.is_terminal:
            with pytest.raises(InstanceExists):
                self._start()
        else:
            self._start()
            self.model = Model()

    def _start(self) -> None:
        self.count += 1
        self.desk.start("collects", "o", None, f"start{self.count}")

    def item(self, number: int) -> None:
        self._raise(number, self._fresh())

    def end(self, _: int) -> None:
        self._raise("end", self._fresh())

    def item_told_twice(self, number: int) -> None:
        """With one of few keys, so that most of them have been used before."""
        self._raise(number, f"key{number % 3}")

    def _fresh(self) -> str:
        self.count += 1
        return f"event{self.count}"

    def _raise(self, item: Any, request: str) -> None:
        message = m.RaiseEvent("Item", json.dumps(item), request)
        if self.model is None:
            with pytest.raises(InstanceNotFound):
                self.desk.call("o", message)
            return
        self.desk.call("o", message)
        if not self.model.status.is_terminal and request not in self.model.accepted:
            self.model.accepted.append(request)
            self.model.take(item)

    def suspend(self, _: int) -> None:
        if self._can(m.Suspend()) and self.model is not None:
            self.model.status = S.SUSPENDED

    def resume(self, _: int) -> None:
        if self._can(m.Resume()) and self.model is not None:
            self.model.resume()

    def terminate(self, _: int) -> None:
        if self._can(m.Terminate(h.ExecutionTerminated())) and self.model is not None:
            self.model.status = S.TERMINATED

    def _can(self, message: m.WorkflowMessage) -> bool:
        """Send it; whether the instance is there and has not finished."""
        if self.model is None:
            with pytest.raises(InstanceNotFound):
                self.desk.call("o", message)
            return False
        self.desk.call("o", message)
        return not self.model.status.is_terminal

    def purge(self, _: int) -> None:
        if self.model is not None and self.model.status.is_terminal:
            self.desk.call("o", m.Purge())
            self.model = None
            return
        with pytest.raises(InstanceNotFound if self.model is None else NotCompleted):
            self.desk.call("o", m.Purge())

    def check(self) -> None:
        desk, model = self.desk, self.model
        if model is None:
            assert (desk.rows, desk.history, desk.reminders) == ({}, {}, {})
            return
        row = desk.rows["o"]
        assert row.status is model.status
        assert row.custom_status == (str(len(model.items)) if model.items else None)
        output = json.dumps(model.items, separators=(",", ":"))
        assert row.output == (output if model.status is S.COMPLETED else None)
        raised = [e for e in events_of(desk.turns("o")) if isinstance(e, h.EventRaised)]
        assert [event.request_id for event in raised] == model.accepted
        assert len(desk.reminders) == (0 if model.status.is_terminal else 1)


OPERATIONS = (
    *(Managed.start, Managed.item, Managed.item, Managed.item, Managed.item_told_twice),
    *(Managed.end, Managed.suspend, Managed.resume, Managed.terminate, Managed.purge),
)


@given(
    operations=st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9)), max_size=40),
    evicts=st.booleans(),
)
def test_an_instance_does_what_its_model_does(
    operations: list[tuple[Any, int]], evicts: bool
) -> None:
    managed = Managed(evicts)
    managed.start(0)
    managed.check()
    for operate, number in operations:
        operate(managed, number)
        managed.check()
    managed.desk.check_replays()


@given(
    items=st.lists(st.integers(), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=6),
    evicts=st.booleans(),
)
def test_messages_in_one_turn_or_in_many_come_to_the_same(
    items: list[int], cuts: list[int], evicts: bool
) -> None:
    """The code sees each event by itself, however many of them a turn takes."""
    whole, parts = Managed(evicts), Managed(evicts)
    for managed in (whole, parts):
        managed.start(0)
    bodies = [m.RaiseEvent("item", json.dumps(each), f"e{n}") for n, each in enumerate(items)]
    bodies.append(m.RaiseEvent("item", '"end"', "last"))
    bounds = sorted({0, *[min(cut, len(bodies)) for cut in cuts], len(bodies)})
    whole.desk.tell("o", bodies)
    for first, last in pairwise(bounds):
        parts.desk.tell("o", bodies[first:last])
    for managed in (whole, parts):
        assert managed.desk.rows["o"].output == json.dumps(items, separators=(",", ":"))
        managed.desk.check_replays()
