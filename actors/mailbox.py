"""The waiting messages of one actor: bounded, first in, first out. An owner module."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from perdure.actors.errors import MailboxFull
from perdure.actors.messages import Delivery


class Mailbox:
    """Owned by one activation. `post` is for anyone on the loop, `take` only for the owner.

    A durable message is held at most once, however often it is announced.
    """

    __slots__ = ("_durable", "_limit", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Delivery] = deque()
        self._durable: set[str] = set()

    def post(self, delivery: Delivery, *, bounded: bool = True) -> None:
        """Queue a message. Raises `MailboxFull`; nothing is ever dropped silently.

        The bound is for new messages: one that was accepted before comes back unbounded.
        """
        if bounded and len(self._waiting) >= self._limit:
            raise MailboxFull(
                f"{len(self._waiting)} messages are waiting, the limit is {self._limit}"
            )
        if delivery.message_id is not None:
            if delivery.message_id in self._durable:
                return
            self._durable.add(delivery.message_id)
        self._waiting.append(delivery)

    def take(self, limit: int) -> list[Delivery]:
        """The oldest messages, at most `limit`."""
        if len(self._waiting) <= limit:
            taken = list(self._waiting)
            self._waiting.clear()
        else:
            taken = [self._waiting.popleft() for _ in range(limit)]
        if self._durable:
            self._durable.difference_update(
                delivery.message_id for delivery in taken if delivery.message_id is not None
            )
        return taken

    def take_all(self) -> list[Delivery]:
        """Everything that waits."""
        return self.take(len(self._waiting))

    def put_back(self, deliveries: Iterable[Delivery]) -> None:
        """Return messages that a turn did not take to the front, in their order."""
        returned = list(deliveries)
        self._durable.update(d.message_id for d in returned if d.message_id is not None)
        self._waiting.extendleft(reversed(returned))

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Mailbox {len(self._waiting)}/{self._limit}>"
