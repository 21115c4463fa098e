"""Integer keys for new actors, from blocks that the store reserves. An owner module."""

from __future__ import annotations

import asyncio

from perdure.actors.errors import Retryable
from perdure.actors.ports import Store


class Keys:
    """Owned by the node. `take` is for turns, which cannot wait; `run` sees that some are left.

    Keys grow with time, so that the rows of new instances stand side by side in the database.
    """

    def __init__(self, store: Store, block: int) -> None:
        self._store = store
        self._block = block
        self._next = 0
        self._end = 0
        self._spare: range | None = None
        self._low = asyncio.Event()

    def take(self) -> int:
        """A key that nobody else has. Raises `Retryable` if none is left at this moment."""
        if self._next >= self._end:
            if self._spare is None:
                raise Retryable("no actor keys are left; more are being reserved")
            self._next, self._end = self._spare.start, self._spare.stop
            self._spare = None
            self._low.set()
        self._next += 1
        return self._next - 1

    async def reserve(self) -> None:
        """Have a block, and a spare one for when it is used up."""
        if self._next >= self._end:
            first = await self._store.reserve_keys(self._block)
            self._next, self._end = first.start, first.stop
        if self._spare is None:
            self._spare = await self._store.reserve_keys(self._block)

    async def run(self) -> None:
        """Replace used blocks until cancelled."""
        while True:
            await self._low.wait()
            self._low.clear()
            try:
                await self.reserve()
            except Retryable:
                self._low.set()
                await asyncio.sleep(0.5)
