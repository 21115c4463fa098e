"""Compares what every node says after a round with the model. Independent of the engine."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.customers import Customers, Unanswered
from tests.chaos.model import COMPLETED, FAILED, Case, Ending
from tests.chaos.verdict import LOST, STUCK, TWICE, WRONG, Problem

_BASE = "/v1.0/workflows/dapr"
_ENDED = ("COMPLETED", "FAILED", "TERMINATED")
_AT_ONCE = 12


@dataclass(frozen=True)
class Answers:
    """What one node says of one instance."""

    state: Mapping[str, Any]
    """Empty if it does not know it."""
    events: Sequence[Mapping[str, Any]]

    @property
    def status(self) -> str | None:
        return self.state.get("runtimeStatus")

    def text(self, name: str) -> str | None:
        properties: Mapping[str, str] = self.state.get("properties", {})
        return properties.get(f"dapr.workflow.{name}")


@dataclass
class Checker:
    """Asks each node by itself."""

    nodes: Mapping[str, Customers]
    """One who asks for each node, by the node's name."""
    acknowledged: set[str]
    purged: set[str]
    problems: list[Problem] = field(default_factory=list)

    async def check(self, cases: Sequence[Case]) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(case: Case) -> None:
            async with limit:
                await self._check_case(case)

        async with asyncio.TaskGroup() as group:
            for case in cases:
                group.create_task(one(case))

    def _say(self, kind: str, text: str) -> None:
        self.problems.append(Problem(kind, text))

    async def _check_case(self, case: Case) -> None:
        if case.instance_id not in self.acknowledged:
            return  # Those who asked for it have said so.
        answers = await self._agreed(case.instance_id)
        if answers is None:
            return
        if case.instance_id in self.purged:
            if answers.state:
                self._say(WRONG, f"{case.instance_id} is there after its purge: {answers.state}")
            return
        self._check_ending(case.instance_id, case.ending, answers)
        self._check_history(case.instance_id, answers, case)
        for instance_id, ending in case.children.items():
            child = await self._agreed(instance_id)
            if child is None or (not child.state and case.children_may_miss):
                continue
            self._check_ending(instance_id, ending, child)
            self._check_history(instance_id, child)

    # ---- every node says the same

    async def _agreed(self, instance_id: str) -> Answers | None:
        """What all nodes say; None, and a problem, if they do not agree or do not answer."""
        said = {}
        for name, customer in self.nodes.items():
            try:
                said[name] = await self._answers(customer, instance_id)
            except Unanswered as error:
                self._say(STUCK, f"{instance_id} on {name}: {error}")
                return None
        first, *others = said.values()
        if any(other != first for other in others):
            text = " | ".join(f"{name}: {answers}" for name, answers in said.items())
            self._say(WRONG, f"{instance_id}: the nodes do not agree: {text}")
            return None
        return first

    async def _answers(self, customer: Customers, instance_id: str) -> Answers:
        state = await customer.ask("GET", f"{_BASE}/{instance_id}")
        if state.status != 200:
            return Answers({}, ())
        history = await customer.ask("GET", f"{_BASE}/{instance_id}/history")
        return Answers(state.fields, history.fields.get("events", ()))

    # ---- and what they say is right

    def _check_ending(self, instance_id: str, ending: Ending, answers: Answers) -> None:
        if not answers.state:
            self._say(LOST, f"{instance_id} is unknown to all nodes")
        elif answers.status not in _ENDED:
            last = [event["type"] for event in answers.events][-4:]
            self._say(STUCK, f"{instance_id} is {answers.state}, last events {last}")
        elif answers.status != ending.status:
            self._say(WRONG, f"{instance_id}: {answers.state}, expected {ending}")
        elif ending.status == FAILED:
            if "never" not in (answers.text("failure.error_message") or ""):
                self._say(WRONG, f"{instance_id}: {answers.state}, expected an error 'never …'")
        elif ending.output is not ... and (
            json.loads(answers.text("output") or "null") != ending.output
        ):
            self._say(WRONG, f"{instance_id}: {answers.text('output')}, expected {ending}")

    def _check_history(self, instance_id: str, answers: Answers, case: Case | None = None) -> None:
        """No task is answered twice, no event is there twice, and there is one end."""
        events = answers.events
        answered = Counter(
            event["taskScheduledId"] for event in events if "taskScheduledId" in event
        )
        twice = [task for task, times in answered.items() if times > 1]
        if twice:
            self._say(TWICE, f"{instance_id}: tasks {twice} are answered twice: {events}")
        fired = Counter(event["timerId"] for event in events if event["type"] == "TimerFired")
        if any(times > 1 for times in fired.values()):
            self._say(TWICE, f"{instance_id}: timers have fired twice: {fired}")
        raised = Counter(str(event) for event in _data_of(events))
        if any(times > 1 for times in raised.values()):
            self._say(TWICE, f"{instance_id}: events came twice: {raised}")
        ends = sum(
            event["type"] in ("ExecutionCompleted", "ExecutionTerminated") for event in events
        )
        if answers.status in (COMPLETED, FAILED) and ends != 1:
            self._say(TWICE, f"{instance_id} has ended {ends} times: {events}")
        if (
            case is not None
            and case.kind in ("patient", "paused")
            and ([*_data_of(events)] != [*case.events])
        ):
            self._say(WRONG, f"{instance_id}: events {[*_data_of(events)]}")


def _data_of(events: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [
        json.loads(event.get("input") or "null")
        for event in events
        if event["type"] == "EventRaised"
    ]
