"""The lines between simulated processes: slow, cut, lossy, repeating themselves. An edge module.

Implements `placement.ports.Peers` on top of nothing. What arrives runs on the event loop of the
process that it arrives at, as everything of that process does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from perdure.placement import wire
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import NodeRecord
from perdure.placement.ports import Receive
from perdure.runtime.workflow.messages import WORKFLOW
from tests.simulation.world import NodeLoop, World

NOTICED_SECONDS = 3.75
"""Until a line that carries nothing any more is found to be broken."""


class Station(Protocol):
    """A process, as far as its lines are concerned."""

    name: str
    incarnation: str
    loop: NodeLoop
    inbound: dict[int, Callable[[], None]]

    @property
    def is_running(self) -> bool: ...

    def receiver(self) -> Receive | None: ...


@dataclass(slots=True)
class Weather:
    """What the lines do at present."""

    slowness: float = 1.0
    loss: float = 0.0
    echo: float = 0.0
    cuts: set[tuple[str, str]] = field(default_factory=set)
    """(from, to): nothing gets through in this direction."""


class Network:
    """All lines. Knows every process that was ever started."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.weather = Weather()
        self.stations: dict[str, Station] = {}
        self.under_way: Counter[str] = Counter()
        """Calls to each workflow that may still be carried out, whoever asked."""
        self.calls = 0

    def delay(self) -> float:
        return self.world.rng.uniform(0.0001, 0.003) * self.weather.slowness

    def carries(self, source: str, target: str) -> bool:
        """Whether a message gets through just now."""
        weather = self.weather
        if (source, target) in weather.cuts:
            return False
        return not weather.loss or self.world.rng.random() >= weather.loss

    def arrive(self, station: Station, data: bytes, answer: Callable[[bytes], None] | None) -> None:
        """Hand a message to the process that it is for, on its own loop."""

        def run() -> None:
            receive = station.receiver()
            if receive is not None:
                receive(data, answer)

        station.loop.call_soon(run)


class SimPeers:
    """Implements `Peers` for one process."""

    def __init__(self, network: Network, station: Station) -> None:
        self._network = network
        self._station = station
        self._pending: dict[int, tuple[str, asyncio.Future[bytes]]] = {}

    async def call(self, node: NodeRecord, request: bytes, seconds: float) -> bytes:
        network = self._network
        network.calls += 1
        number = network.calls
        future: asyncio.Future[bytes] = self._station.loop.create_future()
        self._pending[number] = (node.identity.incarnation, future)
        ref = wire.decode_request(request).ref
        target = ref.id if ref.type == WORKFLOW else None
        if target is not None:
            network.under_way[target] += 1
        network.world.after(
            network.delay(), self._request, number, node.identity.incarnation, request, target
        )
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise NodeUnreachable(f"no answer of {node.node_id!r} in time") from None
        finally:
            del self._pending[number]

    def _request(self, number: int, incarnation: str, data: bytes, target: str | None) -> None:
        network = self._network
        station = network.stations.get(incarnation)
        over = [False]

        def done() -> None:
            """It can have no further effect."""
            if not over[0]:
                over[0] = True
                if station is not None:
                    station.inbound.pop(number, None)
                if target is not None:
                    network.under_way[target] -= 1

        if station is None or not station.is_running:
            done()
            network.world.after(network.delay(), self._break, number)
            return
        if not network.carries(self._station.name, station.name):
            done()
            quick = network.world.rng.random() < 0.5
            network.world.after(0.02 if quick else NOTICED_SECONDS, self._break, number)
            return

        def died() -> None:
            done()
            network.world.after(network.delay(), self._break, number)

        def answer(body: bytes) -> None:
            if over[0]:
                return
            done()
            if network.carries(station.name, self._station.name):
                network.world.after(network.delay(), self._answer, number, body)
            else:
                network.world.after(NOTICED_SECONDS, self._break, number)

        station.inbound[number] = died
        network.arrive(station, data, answer)

    def _answer(self, number: int, body: bytes) -> None:
        if number in self._pending and self._station.loop.alive:
            self._station.loop.call_soon(_settle, self._pending[number][1], body)

    def _break(self, number: int) -> None:
        if number in self._pending and self._station.loop.alive:
            error = NodeUnreachable("the line is broken")
            self._station.loop.call_soon(_settle, self._pending[number][1], error)

    def tell(self, node: NodeRecord, message: bytes) -> None:
        network = self._network
        times = 1
        if network.weather.echo and network.world.rng.random() < network.weather.echo:
            times = 2
        for _ in range(times):
            delay = network.delay()
            if times == 2:
                delay += network.world.rng.uniform(0.0, 2.0)
            network.world.after(delay, self._tell, node.identity.incarnation, message)

    def _tell(self, incarnation: str, message: bytes) -> None:
        network = self._network
        station = network.stations.get(incarnation)
        if station is None or not station.is_running:
            return
        if network.carries(self._station.name, station.name):
            network.arrive(station, message, None)

    def admit(self, node_id: str, incarnation: str, secret: str) -> None:
        pass

    def adopt(self, nodes: Sequence[NodeRecord]) -> None:
        members = {node.identity.incarnation for node in nodes}
        for incarnation, future in list(self._pending.values()):
            if incarnation not in members:
                _settle(future, NodeUnreachable("that node is no member any more"))


def _settle(future: asyncio.Future[bytes], answer: bytes | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
