"""What stands in a mailbox. A value module."""

from __future__ import annotations

import asyncio
from typing import Any


class Delivery:
    """One message on its way into a turn.

    `body` is the message itself; only the actor's type knows what it means. A *call* has a
    `reply` future, which is settled after the commit of the turn that took the message. A *tell*
    has none. `message_id` names the durable inbox row that the message came from, if any: the turn
    that takes the message deletes the row in the same transaction. `attempts` counts the turns that
    took this message and could not be committed; every message is idempotent, so that taking it
    again is right.
    """

    __slots__ = ("attempts", "body", "message_id", "reply")

    def __init__(
        self,
        body: object,
        reply: asyncio.Future[Any] | None = None,
        message_id: str | None = None,
    ) -> None:
        self.body = body
        self.reply = reply
        self.message_id = message_id
        self.attempts = 0

    def __repr__(self) -> str:
        kind = "call" if self.reply is not None else "tell"
        return f"<{kind} {self.body!r} attempts={self.attempts}>"


class ReminderDue:
    """Told to an actor when one of its reminders has fallen due (by the node's clock)."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"ReminderDue({self.name!r})"


class Wake:
    """Told to an actor that recovery found with unfinished work: be activated and look."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Wake()"


WAKE = Wake()


class Quarantine:
    """Told to an actor whose turns keep failing for no reason of its user's: stop trying."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Quarantine({self.reason!r})"
