"""For which names a worker is missing, on all nodes of the app. An owner module.

Every node tells the others which names its workers take and for which ones something waits on it.
A name that is waited for and that nobody takes is missing; so says each node, by what it has heard.
Names are written as in `nodes.hosted_types`: `workflow:ship`, `activity:pack`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

from perdure.placement.membership import Membership, NodeRecord
from perdure.runtime.workflow.workers.capacity import Code
from perdure.runtime.workflow.workers.stream import WorkerStream

WORKFLOW_NAME, ACTIVITY_NAME = "workflow:", "activity:"
"""What names begin with; alone it stands for all of them."""


class Names(NamedTuple):
    """What a node tells."""

    taken: frozenset[str] = frozenset()
    """Its workers take these."""
    wanted: frozenset[str] = frozenset()
    """Something waits for these, and its own workers do not take them."""
    lacked: frozenset[str] = frozenset()
    """Of those that its workers take as far as they say, what none of them has."""


class Lookout:
    """Owned by the dispatcher of turns.

    Args:
        streams: The workers of this node.
        wanted: The names that something on this node waits for.
        log: Told of a name that has been missing for `patience` seconds, and when it is not.
        may_return: Whether a worker that has gone a moment ago may have a name.
    """

    def __init__(
        self,
        streams: Callable[[], Iterable[WorkerStream]],
        wanted: Callable[[], Iterable[str]],
        log: logging.Logger,
        patience: float = 5.0,
        *,
        may_return: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._streams = streams
        self._wanted = wanted
        self._log = log
        self._patience = patience
        self._may_return = may_return
        self._others: dict[Membership, Names] = {}
        self._missing_since: dict[str, float] = {}
        self._logged: set[str] = set()

    def own(self) -> Names:
        """What there is to tell others."""
        taken = names_taken(self._streams())
        wanted = frozenset(name for name in self._wanted() if not _takes(taken, name))
        return Names(taken, wanted, names_lacked(self._streams()))

    def told(self, node: Membership, names: Names) -> None:
        self._others[node] = names

    def keep(self, present: Container[Membership]) -> None:
        """Forget all others."""
        self._others = {node: told for node, told in self._others.items() if node in present}

    def takes(self, node: Membership, name: str) -> bool:
        """Whether another node has a worker for a name, as far as is known.

        If nobody at all has one, all that has workers is as good: they say so.
        """
        told = self._others.get(node)
        if told is None or not _takes(told.taken, name):
            return False
        return name not in told.lacked or self.in_vain(name)

    def in_vain(self, name: str) -> bool:
        """Whether no worker of the app has a name, as far as is known, nor one that comes back.

        Then whoever is asked for it says so, and that is what comes of it.
        """
        if any(
            _takes(told.taken, name) and name not in told.lacked for told in self._others.values()
        ):
            return False
        code = code_of(name)
        if any(s.may_have(code) for s in self._streams() if not (s.is_closed or s.is_draining)):
            return False
        return not self._may_return(name)

    def missing(self) -> tuple[str, ...]:
        """The names that are waited for anywhere and that no worker anywhere takes."""
        others = self._others.values()
        wanted = set(self._wanted()).union(*(told.wanted for told in others))
        if not wanted:
            return ()  # So nearly always.
        taken = names_taken(self._streams()).union(*(told.taken for told in others))
        return tuple(sorted(name for name in wanted if not _takes(taken, name)))

    def look(self, now: float) -> None:
        """Tell a person of what has changed: a worker that only comes back is no news."""
        missing = self.missing()
        since = self._missing_since
        self._missing_since = {name: since.get(name, now) for name in missing}
        late = {
            n for n, from_then in self._missing_since.items() if now - from_then >= self._patience
        }
        new, gone = sorted(late - self._logged), sorted(self._logged.difference(missing))
        self._logged = self._logged.intersection(missing) | late
        if new:
            self._log.warning(
                "no connected worker runs this code; what needs it waits",
                extra={"event": "worker_missing", "code": new},
            )
        if gone:
            self._log.info(
                "nothing waits for a worker with this code any more",
                extra={"event": "worker_found", "code": gone},
            )


def names_taken(streams: Iterable[WorkerStream]) -> frozenset[str]:
    """What workers take, of those that are sent anything."""
    found: set[str] = set()
    for stream in streams:
        if stream.is_closed or stream.is_draining:
            continue
        capacity = stream.capacity
        found.update(_prefixed(WORKFLOW_NAME, capacity.turn_names))
        found.update(_prefixed(ACTIVITY_NAME, capacity.activity_names))
    return frozenset(found)


def names_lacked(streams: Iterable[WorkerStream]) -> frozenset[str]:
    """What none of these workers has, and some have refused."""
    able = [stream for stream in streams if not (stream.is_closed or stream.is_draining)]
    refused = {code for stream in able for code in stream.lacking}
    return frozenset(
        str(code) for code in refused if not any(stream.may_have(code) for stream in able)
    )


def rivals(streams: Iterable[WorkerStream], nodes: Iterable[NodeRecord]) -> Sequence[WorkerStream]:
    """Workers that say that they have what one of these nodes has: that is in one place only."""
    hosted = frozenset(name for node in nodes for name in node.identity.hosted_types)
    return [stream for stream in streams if not hosted.isdisjoint(names_taken([stream]))]


def code_of(name: str) -> Code:
    """The code that a name, written with its kind, stands for."""
    kind, colon, rest = name.partition(":")
    return Code(kind + colon == WORKFLOW_NAME, rest)


def _prefixed(kind: str, names: frozenset[str] | None) -> list[str]:
    return [kind] if names is None else [f"{kind}{name}" for name in names]


def _takes(taken: frozenset[str], name: str) -> bool:
    kind, colon, _ = name.partition(":")
    return name in taken or kind + colon in taken
