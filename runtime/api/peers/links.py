"""The links between this node and all others: `placement.ports.Peers` on sockets. An owner module.

One WebSocket per pair of processes, used in both directions. INVARIANT: at most one link per
neighbour is used; which one of two is decided by both ends alike.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from types import TracebackType

from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import NodeRecord
from perdure.placement.ports import Receive
from perdure.runtime.api.peers.config import PeerConfig, PeerStatistics, Traffic
from perdure.runtime.api.peers.dialer import Dialer, DialFailed, SecretRefused
from perdure.runtime.api.peers.handshake import CloseCode, Credentials, PeerName
from perdure.runtime.api.peers.link import PeerLink
from perdure.runtime.api.peers.listener import PeerListener
from perdure.runtime.api.peers.neighbour import Neighbour
from perdure.runtime.api.peers.refusals import RefusalLog
from perdure.runtime.api.peers.socket import PeerSocket

__all__ = ["PeerConfig", "PeerLinks", "PeerStatistics"]

BACKOFF_SECONDS_MIN = 0.02
BACKOFF_SECONDS_MAX = 2.0
STRANGER_SECONDS = 10.0
"""How long a process may be linked without being in our view: it joined after we last looked."""
UNREACHABLE_SECONDS = 10.0
"""After so long without a way to a member, it is time to say so."""
GONE_MAX = 1024


class PeerLinks:
    """Listens and dials from enter to exit; leaving it closes every link."""

    def __init__(self, config: PeerConfig, receive: Receive, log: logging.Logger) -> None:
        self._config = config
        self._receive = receive
        self._log = log
        self._own: Credentials | None = None
        self._members: Sequence[NodeRecord] = ()
        self._neighbours: dict[PeerName, Neighbour] = {}
        self._gone: dict[PeerName, None] = {}
        """Processes that were members, the latest last: nobody has to wait for them."""
        self._links: set[PeerLink] = set()
        """Those that are not at their end yet, also those that are no neighbour's any more."""
        self._traffic = Traffic()
        self._chance = random.Random()
        self._refusals = RefusalLog(log)
        self._dialer = Dialer(config)
        self._listener = PeerListener(config, lambda: self._own, self._accept, self._refusals)
        self._group = asyncio.TaskGroup()
        self._open = AsyncExitStack()
        self._is_open = False

    @property
    def address(self) -> str:
        """Where other nodes reach this one, with the port that the socket really got."""
        return self._listener.address

    async def __aenter__(self) -> PeerLinks:
        async with AsyncExitStack() as undo:
            await undo.enter_async_context(self._group)
            await undo.enter_async_context(self._dialer)
            await undo.enter_async_context(self._listener)
            undo.push_async_callback(self._close)
            self._open = undo.pop_all()
        self._is_open = True
        self._arrange()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def _close(self) -> None:
        self._is_open = False
        neighbours = list(self._neighbours.values())
        self._neighbours.clear()
        for link in list(self._links):
            link.close("this node is stopping")  # What waits in it is still written.
        for link in list(self._links):
            await link.ended.wait()
        for neighbour in neighbours:
            neighbour.forget("this node is stopping")

    def admit(self, node_id: str, incarnation: str, secret: str) -> None:
        """This is who we are. Before it nobody is let in, and nobody dialled."""
        own = Credentials(PeerName(node_id, incarnation), secret)
        if self._own not in (None, own):
            for neighbour in self._neighbours.values():
                if neighbour.link is not None:
                    neighbour.link.close("this node has another name now")
        self._own = own
        self._arrange()

    def adopt(self, nodes: Sequence[NodeRecord]) -> None:
        """See `placement.ports.Peers`. Rows of this node, and of no members, do no harm."""
        self._members = nodes
        self._arrange()

    async def call(
        self,
        node: NodeRecord,
        request: bytes,
        seconds: float,
    ) -> bytes:
        """See `placement.ports.Peers`. Raises `MessageTooLarge` too, and nothing was sent."""
        name = _name(node)
        neighbour = self._neighbours.get(name)
        if neighbour is not None and neighbour.link is not None:
            return await neighbour.link.call(request, seconds)
        if not self._is_open or name in self._gone:
            raise NodeUnreachable(f"node {node.node_id!r} is no member, as far as is known here")
        if neighbour is None:
            neighbour = self._neighbours[name] = Neighbour(name)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            link = await neighbour.linked(seconds, self._config.calls_max)
        finally:
            self._drop_if_idle(neighbour)
        return await link.call(request, end - loop.time())

    def tell(self, node: NodeRecord, message: bytes) -> None:
        """See `placement.ports.Peers`."""
        neighbour = self._neighbours.get(_name(node))
        if neighbour is None or neighbour.link is None:
            self._traffic.tells_dropped += 1
        else:
            neighbour.link.tell(message)

    def statistics(self) -> PeerStatistics:
        links = [n.link for n in self._neighbours.values() if n.link is not None]
        waiting = sum(n.waiting for n in self._neighbours.values())
        return PeerStatistics(
            links_open=len(links),
            calls_pending=waiting + sum(link.calls_pending for link in links),
            unsent_bytes=sum(link.unsent_bytes for link in links),
            **asdict(self._traffic),
        )

    # ---- who is a neighbour

    def _arrange(self) -> None:
        """Bring neighbours in line with who is a member and who we are."""
        own = self._own
        if own is None or not self._is_open:
            return
        members = {
            _name(node): node
            for node in self._members
            if node.is_present and node.identity.peer_address and node.node_id != own.name.node_id
        }
        # Not in the view if it is older than our join: then whoever is in it was there before us.
        ours = [n.generation for n in self._members if _name(n) == own.name]
        for neighbour in list(self._neighbours.values()):
            if neighbour.name not in members and self._is_over(neighbour):
                self._forget(neighbour)
        for name, node in members.items():
            self._gone.pop(name, None)
            neighbour = self._neighbours.get(name) or Neighbour(name)
            self._neighbours[name] = neighbour
            dials = not ours or (max(ours), own.name.node_id) > (node.generation, node.node_id)
            neighbour.adopt(node, dials=dials)
            if neighbour.dialling is None:
                neighbour.dialling = self._group.create_task(self._keep_linked(neighbour))

    def _is_over(self, neighbour: Neighbour) -> bool:
        """Whether one that is not in the view was, or has been waited for long enough."""
        age = asyncio.get_running_loop().time() - neighbour.since
        return neighbour.record is not None or age > STRANGER_SECONDS

    def _forget(self, neighbour: Neighbour) -> None:
        del self._neighbours[neighbour.name]
        neighbour.forget("the node is no member any more")
        if neighbour.record is not None:
            self._gone[neighbour.name] = None
            if len(self._gone) > GONE_MAX:
                del self._gone[next(iter(self._gone))]

    def _drop_if_idle(self, neighbour: Neighbour) -> None:
        if neighbour.is_idle and self._neighbours.get(neighbour.name) is neighbour:
            del self._neighbours[neighbour.name]

    # ---- links

    async def _keep_linked(self, neighbour: Neighbour) -> None:
        """Dial a member whenever that is ours to do, until it is forgotten."""
        loop = asyncio.get_running_loop()
        pause = BACKOFF_SECONDS_MIN
        while True:
            await neighbour.to_dial.wait()
            assert neighbour.record is not None
            assert self._own is not None
            own, address = self._own, neighbour.record.identity.peer_address
            try:
                socket = await self._dialer.dial(address, neighbour.name, own)
            except SecretRefused as error:
                self._refusals.refused(neighbour.name.node_id, address, str(error))
                pause = BACKOFF_SECONDS_MAX
            except DialFailed as error:
                self._tell_unreachable(neighbour, address, error)
            else:
                self._refusals.accepted(neighbour.name.node_id, address)
                neighbour.reached()
                began = loop.time()
                link = self._new_link(socket, neighbour.name, own.name)
                if self._own == own and neighbour.attach(link):
                    await self._carry(neighbour, link)
                else:
                    await socket.cut()
                if not self._is_open:
                    return
                if loop.time() - began > BACKOFF_SECONDS_MAX:
                    pause = BACKOFF_SECONDS_MIN
            await asyncio.sleep(pause * self._chance.uniform(0.5, 1.0))
            pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    def _tell_unreachable(self, neighbour: Neighbour, address: str, error: DialFailed) -> None:
        """Once it lasts: who has died is no member any more by then."""
        self._log.log(
            logging.WARNING if neighbour.is_missed(UNREACHABLE_SECONDS) else logging.DEBUG,
            "a node cannot be reached",
            extra={
                "event": "peer_unreachable",
                "node_id": neighbour.name.node_id,
                "address": address,
                "reason": str(error),
            },
        )

    async def _accept(self, socket: PeerSocket, name: PeerName, welcome: bytes) -> None:
        """Carry a link that another node has made, unless there is one to be kept."""
        own = self._own
        assert own is not None
        neighbour = self._neighbours.get(name)
        if neighbour is None and self._is_open and name.node_id != own.name.node_id:
            neighbour = self._neighbours[name] = Neighbour(name)
        link = self._new_link(socket, name, name)
        if neighbour is None or not neighbour.attach(link):
            await socket.close(CloseCode.DUPLICATE)
            return
        await self._carry(neighbour, link, welcome)

    def _new_link(self, socket: PeerSocket, peer: PeerName, dialer: PeerName) -> PeerLink:
        return PeerLink(
            socket,
            peer,
            dialer,
            receive=self._receive,
            config=self._config,
            traffic=self._traffic,
            log=self._log,
        )

    async def _carry(self, neighbour: Neighbour, link: PeerLink, welcome: bytes = b"") -> None:
        """Run a link that is attached; `welcome` goes before everything else."""
        self._links.add(link)
        fields = {"node_id": link.peer.node_id, "dialled": link.dialer != link.peer}
        self._log.debug("a node is linked", extra={"event": "peer_linked", **fields})
        try:
            await link.run(welcome)
        finally:
            self._links.discard(link)
            neighbour.detach(link)
            self._drop_if_idle(neighbour)
            self._log.debug("a link has ended", extra={"event": "peer_link_ended", **fields})

    def __repr__(self) -> str:
        return f"<PeerLinks {self.address or 'not listening'} {list(self._neighbours.values())}>"


def _name(node: NodeRecord) -> PeerName:
    return PeerName(node.identity.node_id, node.identity.incarnation)
