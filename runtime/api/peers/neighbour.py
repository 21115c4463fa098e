"""What a node has of another one: its row, the link to it, who waits for it. An owner module.

It is known by its row, or by having connected, or by both. The newcomer of a pair dials, as it has
read everybody's row when it joined.
"""

from __future__ import annotations

import asyncio

from perdure.actors.errors import MailboxFull
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import NodeRecord
from perdure.runtime.api.peers.handshake import PeerName
from perdure.runtime.api.peers.link import PeerLink


class Neighbour:
    """Owned by `PeerLinks`."""

    def __init__(self, name: PeerName) -> None:
        self.name = name
        self.record: NodeRecord | None = None
        """Its row while it is a member as far as we know."""
        self.link: PeerLink | None = None
        self.dialling: asyncio.Task[None] | None = None
        self.to_dial = asyncio.Event()
        """Set while there is no link and it is ours to make it."""
        self.waiting = 0
        """Calls that wait for the link."""
        self.since = asyncio.get_running_loop().time()
        self._missed_since: float | None = None
        self._missed_told = False
        self._dials = False
        self._is_gone = False
        self._change = asyncio.Event()
        """Set while there is a link, or never will be."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return self.record is None and self.link is None and self.waiting == 0

    def adopt(self, record: NodeRecord, *, dials: bool) -> None:
        """It is a member, and whether we are the one to dial."""
        self.record = record
        self._dials = dials
        self._look()

    def attach(self, link: PeerLink) -> bool:
        """Take a new link, unless the one that is there is to be kept.

        If both have dialled, the greater name's link stays: both ends decide the same. If one
        end dials anew, it has lost the link that the other still sees.
        """
        if self._is_gone:
            return False
        if self.link is not None:
            if link.dialer < self.link.dialer:
                return False
            self.link.close("another link took its place")
        self.link = link
        self._look()
        return True

    def detach(self, link: PeerLink) -> None:
        if self.link is link:
            self.link = None
            self._look()

    def is_missed(self, seconds: float) -> bool:
        """It could not be reached. True once, when that has been so for so many seconds."""
        now = asyncio.get_running_loop().time()
        if self._missed_since is None:
            self._missed_since = now
        if self._missed_told or now - self._missed_since < seconds:
            return False
        self._missed_told = True
        return True

    def reached(self) -> None:
        """It could be reached."""
        self._missed_since, self._missed_told = None, False

    async def linked(self, seconds: float, waiting_max: int) -> PeerLink:
        """The link, as soon as there is one. Raises `NodeUnreachable` and `MailboxFull`."""
        if self.waiting >= waiting_max:
            raise MailboxFull(f"too much waits for a link to node {self.name.node_id!r} already")
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while self.link is None:
                    if self._is_gone:
                        raise NodeUnreachable(f"node {self.name.node_id!r} is no member any more")
                    await self._change.wait()
                return self.link
        except TimeoutError as error:
            raise NodeUnreachable(f"there is no link to node {self.name.node_id!r}") from error
        finally:
            self.waiting -= 1

    def forget(self, reason: str) -> None:
        """End the link, the dialling, and the waiting."""
        self._is_gone = True
        if self.link is not None:
            self.link.close(reason)
        if self.dialling is not None:
            self.dialling.cancel()
        self._look()

    def _look(self) -> None:
        _set(self.to_dial, self._dials and self.link is None and not self._is_gone)
        _set(self._change, self.link is not None or self._is_gone)

    def __repr__(self) -> str:
        return f"<Neighbour {self.name.node_id} link={self.link} waiting={self.waiting}>"


def _set(event: asyncio.Event, wanted: bool) -> None:
    if wanted:
        event.set()
    else:
        event.clear()
