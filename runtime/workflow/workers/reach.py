"""How large an item workers can be sent, as far as their losses have shown. An owner module.

Workers say nothing of how long a message they receive, and many receive no more than gRPC's default
of 4 MiB. One that is sent more ends its stream, comes back, and would be sent the same again. So a
few streams that end at large items teach what workers of that kind are not sent any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.work import TurnWork

RECEIVED_BY_ALL = 4 << 20
"""Bytes that every client of gRPC receives unless it says that it wants less: no such item is ever
the reason why a stream has ended."""
LOSSES_MAX = 3
"""Streams that may end at a large item, one after the other, until such items are too large."""
SUDDEN_SECONDS = 10.0
"""A stream that ends at an item ends at once. Later than this, its worker has died of other
things."""
AGAIN_SECONDS = 60.0
"""After a loss no item that is too large is tried for so long: each trial costs a worker all that
it has in hand."""
_ALIKE_BYTES = 1024
"""The same item is now and then some bytes shorter: there are times in it."""
_KNOWN_MAX = 1000

Clock = Callable[[], float]


class Reach:
    """Of all workers of one kind. Owned by whoever writes to them.

    Args:
        clock: Says the time in seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._losses = 0
        self._bytes_lost = 0
        """The smallest item of those losses, or a little less."""
        self._again_at = 0.0

    @property
    def bytes_max(self) -> int | None:
        """So many bytes are too many; None if none are known to be."""
        return self._bytes_lost if self._losses >= LOSSES_MAX else None

    def receives(self, size: int) -> bool:
        """Whether a worker may be sent an item of so many bytes now."""
        most = self.bytes_max
        return most is None or size < most or self.clock() >= self._again_at

    def tried(self, size: int) -> None:
        """An item was sent: if it is one of those that are too large, it is the only one."""
        if self.bytes_max is not None and size >= self._bytes_lost:
            self._again_at = self.clock() + AGAIN_SECONDS

    def lost(self, size: int) -> None:
        """A stream has ended at an item."""
        size = max(size - _ALIKE_BYTES, RECEIVED_BY_ALL + 1)
        self._bytes_lost = min(self._bytes_lost, size) if self._losses else size
        self._losses += 1
        self._again_at = self.clock() + AGAIN_SECONDS

    def received(self, size: int) -> None:
        """A worker has had an item: whatever the losses were due to, it was not their size."""
        if size >= self._bytes_lost:
            self._losses = 0

    def __repr__(self) -> str:
        return f"<Reach losses={self._losses} bytes_max={self.bytes_max}>"


class Sent:
    """What one stream was sent, as far as it is not known whether it has come through.

    A stream keeps its order: a worker that answers one item has had all that were sent before.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._count = 0
        self._unproven: dict[str, tuple[int, int, float]] = {}
        """Of large items, by token: the number in the stream, the bytes, and when."""
        self._numbers: dict[str, int] = {}
        """Of what was sent after the first of these."""

    def sent(self, token: str, size: int) -> None:
        """An item goes out."""
        self._count += 1
        if size > RECEIVED_BY_ALL:
            self._reach.tried(size)
            self._unproven[token] = (self._count, size, self._reach.clock())
        if self._unproven:
            self._numbers[token] = self._count

    def answered(self, token: str) -> None:
        """The worker has said something of an item."""
        number = self._numbers.pop(token, 0)
        for each, (sent, size, _) in list(self._unproven.items()):
            if sent <= number:
                del self._unproven[each]
                self._reach.received(size)
        if not self._unproven:
            self._numbers.clear()

    def broke_off(self) -> None:
        """The stream has ended, and not by this node."""
        since = self._reach.clock() - SUDDEN_SECONDS
        sizes = [size for _, size, at in self._unproven.values() if at >= since]
        if sizes:
            self._reach.lost(max(sizes))  # Of several at least this one.


class Stream(Protocol):
    """A connected worker, as far as it is to be chosen."""

    def receives(self, size: int) -> bool: ...


S = TypeVar("S", bound=Stream)


class LargeItems:
    """The sizes of what some worker could not be sent. Owned by the pool."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[tuple[object, ...], int] = OrderedDict()

    def note(self, work: TurnWork | RunActivity, size: int) -> None:
        self._sizes[_mark(work)] = size
        if len(self._sizes) > _KNOWN_MAX:
            self._sizes.popitem(last=False)

    def able(self, fit: list[S], work: TurnWork | RunActivity, having: Iterable[S]) -> list[S]:
        """Those of the streams with room, `fit`, that can be sent it. `having`: with its code.

        None while one that can has no room. If no stream at all can, any may have it: whoever
        writes to it sees that nobody can be sent it, and says so.
        """
        size = self._sizes.get(_mark(work)) if self._sizes else None
        if size is None:
            return fit
        able = [stream for stream in fit if stream.receives(size)]
        if able or any(stream.receives(size) for stream in having):
            return able
        return fit


def _mark(work: TurnWork | RunActivity) -> tuple[object, ...]:
    if isinstance(work, RunActivity):
        return (work.instance_id, *work.key_of_call)
    return (work.instance_id, work.key, work.execution, work.after, "turn")
