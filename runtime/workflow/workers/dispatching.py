"""What a dispatcher of turns works with, its settings, and what it keeps. A value module."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from perdure.actors.ports import Env
from perdure.placement.membership import Membership
from perdure.placement.router import Router
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import Item
from perdure.runtime.workflow.workers.work import TurnWork


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDispatchConfig:
    app_id: str
    turn_seconds: float = 60.0
    """A worker that has not answered for so long is not waited for."""
    ask_seconds: float = 5.0
    room_seconds: float = 0.25
    """How often other nodes are told of room, if that has changed."""
    repeat_seconds: float = 5.0
    """How often they are told although it has not."""
    again_seconds: float = 1.0
    """What a worker would not do is offered again after this."""
    missing_seconds: float = 5.0
    """A name that no worker takes is logged after this."""


@dataclass(slots=True, eq=False)
class Turn:
    """One decision that an instance of this node waits for."""

    work: TurnWork
    since: float
    item: Item | None = None
    """In the hands of a worker of this node."""
    node: Membership | None = None
    """Or given to another node."""
    problem: str | None = None
    """Why it cannot be given to another node."""
    is_answered: bool = False
    is_counted: bool = False
    """Among those that are out, as far as the limits go."""

    @property
    def is_waiting(self) -> bool:
        return self.item is None and self.node is None and not self.is_answered


@dataclass(frozen=True, slots=True)
class TurnDispatchParts:
    """The collaborators of a dispatcher."""

    router: Router
    pool: WorkerPool
    env: Env
    also_wanted: Callable[[], Iterable[str]] = tuple
    """What besides turns waits here for a worker, by names as in `lookout`."""
    gained: Callable[[], None] = lambda: None
    """Told that another node has more workers than before: what is stalled may go on."""
