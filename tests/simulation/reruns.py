"""Finished instances are run again from one of their events, by clients. An owner module.

What may be asked and what is refused is told here once more, from the table of errors alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from perdure.actors.errors import Refused, Retryable
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.errors import InstanceCreatedBefore, NothingToRerun, NotRerunnable
from perdure.runtime.workflow.fork import Rerun
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.workers.numbers import action_id
from tests.simulation.client import Client, Unreachable
from tests.simulation.lives import Life
from tests.simulation.world import Violation

NOBODY = 999_999_999
"""An event id that is nowhere."""
Refusal = tuple[type[Refused], str]
"""What is raised, and a part of what it says."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, and what must come of it."""

    wanted: Rerun
    refusal: Refusal | None = None


class Reruns:
    """All that clients run again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._world = client.world
        self._made = 0
        self.known: set[str] = set()
        """Instances that came of a call whose answer was heard."""

    @property
    def _rng(self) -> random.Random:
        return self._world.rng

    async def of(self, source: str) -> tuple[str, Rerun] | None:
        """Run `source`, which has finished, again; None if that was refused, as it should be."""
        before = await self._seen(source)
        wish = self._wish(source, *before)
        made = await self._ask(source, wish)
        await self._client.settled(source)
        if await self._seen(source) != before:
            raise self._wrong(source, "I16: to be run again has changed it")
        return None if made is None else (made, wish.wanted)

    async def _seen(self, source: str) -> tuple[Instance, list[h.Turn]]:
        row, turns = await self._client.insist("history", source)
        # What nobody waits for may still come to its end.
        return msgspec.structs.replace(row, has_work=False, updated_us=0), turns

    async def too_early(self, source: str) -> str | None:
        """Ask while it runs. It may have finished meanwhile: then the new instance's id."""
        wanted = Rerun(event_id=1, new_id=self._new_id(source))
        try:
            made: str = await self._client.request("rerun", source, wanted)
        except (Unreachable, Retryable):
            return None
        except NotRerunnable as error:
            if f"'{source}' is not in a terminal state" not in str(error):
                raise self._wrong(source, f"I16: running, it is not run again: {error}") from None
            return None
        except NothingToRerun as error:
            if "does not" not in str(error) and "can be rerun" not in str(error):
                raise self._wrong(source, f"I16: it has nothing to be run again: {error}") from None
            return None
        self.known.add(made)
        if not self._client.shadow.current[source].status.is_terminal:
            raise self._wrong(source, f"I16: it is run again as '{made}' before it has finished")
        return made

    async def of_a_child(self, parent: str) -> None:
        """A child is never run again but with its parent."""
        child = self._a_child(parent)
        if child is None:
            return
        wish = Wish(
            Rerun(event_id=1),
            (NotRerunnable, "cannot rerun from child-workflows")
            if child.status.is_terminal
            else (NotRerunnable, ""),
        )
        await self._ask(child.instance_id, wish)

    async def of_nothing(self, source: str) -> None:
        """Of an instance that is not there."""
        says = f"workflow instance does not exist with ID '{source}'"
        await self._ask(source, Wish(Rerun(event_id=1), (NothingToRerun, says)))

    def _a_child(self, parent: str) -> Life | None:
        """One that nobody removes or starts anew meanwhile."""
        shadow = self._client.shadow
        family = self._client.family_of(parent)
        lives = [shadow.by_key[key] for key in sorted(family)]
        found = [life for life in lives if life.instance_id != parent and not life.is_gone]
        return self._rng.choice(found) if found else None

    # ---- what is asked for

    def _new_id(self, source: str) -> str:
        self._made += 1
        return f"{source}.f{self._made}"

    def _wish(self, source: str, row: Instance, turns: Sequence[h.Turn]) -> Wish:
        rng = self._rng
        events = [event for turn in turns for event in turn.outgoing]
        new_id = self._new_id(source) if rng.random() < 0.6 else None
        if row.parent is not None:
            return Wish(Rerun(event_id=1), (NotRerunnable, "cannot rerun from child-workflows"))
        if rng.random() < 0.08:
            says = "must be different from the original instance ID"
            return Wish(Rerun(event_id=1, new_id=source), (NotRerunnable, says))
        numbers = [event.task_id for event in events if not isinstance(event, h.ExecutionCompleted)]
        actions = [action_id(number) for number in numbers]
        if not numbers or rng.random() < 0.15:
            number = rng.choice((NOBODY, max(actions, default=0) + 1))
            says = "does not have history event" if number == NOBODY else "is not an event that can"
            return Wish(Rerun(event_id=number, new_id=new_id), (NothingToRerun, says))
        number = rng.choice((rng.choice(numbers), rng.choice(actions)))
        at = next(at for at, told in enumerate(numbers) if number in (told, actions[at]))
        return self._wish_for(events[at], number, new_id)

    def _wish_for(self, event: h.Outgoing, number: int, new_id: str | None) -> Wish:
        rng = self._rng
        overwrites, names_child = rng.random() < 0.25, rng.random() < 0.15
        kind = {h.TaskScheduled: "activity", h.TimerCreated: "timer"}.get(type(event), "")
        # Not without an id for its parent: asked twice, there would be two who call that child.
        child_id = f"{new_id}.c{number}" if names_child and new_id is not None else None
        wanted = Rerun(event_id=number, new_id=new_id, child_id=child_id)
        if overwrites and isinstance(event, (h.TaskScheduled, h.TimerCreated)):
            text = event.input if isinstance(event, h.TaskScheduled) else None
            wanted = Rerun(
                event_id=number,
                new_id=new_id,
                child_id=child_id,
                input=_other_input(text),
                overwrite_input=True,
            )
        if isinstance(event, h.DetachedWorkflowInstanceCreated):
            says = f"'*protos.HistoryEvent_DetachedWorkflowInstanceCreated' with ID '{number}'"
            return Wish(wanted, (NothingToRerun, says))
        if wanted.overwrite_input and kind == "timer":
            return Wish(wanted, (NotRerunnable, f"cannot write input to timer event '{number}'"))
        if child_id is not None and kind:
            says = f"cannot set new child workflow instance ID on {kind} event '{number}'"
            return Wish(wanted, (NotRerunnable, says))
        return Wish(wanted)

    # ---- asking

    async def _ask(self, source: str, wish: Wish) -> str | None:
        """Until there is an answer."""
        tried = 0
        while True:
            tried += 1
            try:
                made: str = await self._client.request("rerun", source, wish.wanted)
            except (Unreachable, Retryable):
                await self._client.pause(self._rng.uniform(0.05, 0.8))
                continue
            except InstanceCreatedBefore as error:
                if wish.refusal is None and tried > 1 and error.instance_id == wish.wanted.new_id:
                    self.known.add(error.instance_id)
                    return error.instance_id
                raise self._wrong(source, f"I16: {error}, the first time") from None
            except Refused as error:
                self._check_refusal(source, wish, error)
                return None
            if wish.refusal is not None:
                raise self._wrong(source, f"I16: {wish.wanted} is accepted, not {wish.refusal}")
            self.known.add(made)
            return made

    def _check_refusal(self, source: str, wish: Wish, error: Refused) -> None:
        kind, says = wish.refusal or (type(None), "")
        if not isinstance(error, kind) or says not in str(error):
            expected = wish.refusal or "accepted"
            raise self._wrong(source, f"I16: {wish.wanted} is {error!r}, not {expected}")

    def forgotten(self) -> list[str]:
        """Instances whose makers have not heard of them: they have given up by now."""
        shadow, now = self._client.shadow, self._world.now
        return [
            life.instance_id
            for life in shadow.current.values()
            if life.source is not None
            and life.instance_id not in self.known
            and not life.status.is_terminal
            and now - life.born > 6.0
        ]

    def _wrong(self, source: str, what: str) -> Violation:
        return self._world.violated(f"'{source}': {what}")


def _other_input(text: str | None) -> str:
    """Another value of the same kind, with what says how it is worked on."""
    order: Any = json.loads(text or "null")
    if isinstance(order, list) and order:
        order[0] = "another" if isinstance(order[0], str) else 77
    return json.dumps(order)
