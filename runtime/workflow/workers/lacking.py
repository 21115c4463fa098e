"""What is known of the names that workers do not have. An owner module.

Most workers do not say what they have. One that is given what it lacks answers with a failure, in
the words of its SDK, before any code of the user's has run: that is how it is learned.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from perdure.runtime.workflow.workers.capacity import Code

_NAMES_MAX = 1000
"""Names come without end. One that is forgotten is learned once more."""
RETURN_SECONDS = 30.0
"""The longest that the SDKs wait before they connect again."""


class Lacking:
    """Owned by a stream: what its worker has refused for want of code."""

    __slots__ = ("_codes",)

    def __init__(self) -> None:
        self._codes: OrderedDict[Code, None] = OrderedDict()

    def add(self, code: Code) -> bool:
        """Whether that is news."""
        is_new = code not in self._codes
        self._codes[code] = None
        if len(self._codes) > _NAMES_MAX:
            self._codes.popitem(last=False)
        return is_new

    def __contains__(self, code: Code) -> bool:
        return bool(self._codes) and code in self._codes

    def __iter__(self) -> Iterator[Code]:
        return iter(self._codes)

    def __len__(self) -> int:
        return len(self._codes)


class MayHave(Protocol):
    """A worker's stream."""

    def may_have(self, code: Code) -> bool: ...


class Absent:
    """Owned by the pool: workers that have gone a moment ago, and probably come back.

    What one of them may have is waited for: while a worker restarts, the others must not fail its
    instances for it. As soon as as many have come as had gone, nobody is waited for.
    """

    def __init__(self) -> None:
        self._gone: list[tuple[float, MayHave]] = []
        self._come = 0

    def gone(self, stream: MayHave, now: float) -> None:
        self._forget(now)
        self._gone.append((now, stream))

    def came(self, now: float) -> None:
        self._forget(now)
        self._come += 1
        if self._come >= len(self._gone):
            self._gone.clear()
            self._come = 0

    def may_have(self, code: Code, now: float) -> bool:
        """Whether one of them may have it."""
        self._forget(now)
        return any(stream.may_have(code) for _, stream in self._gone)

    def _forget(self, now: float) -> None:
        if not self._gone:
            self._come = 0
            return
        while self._gone and now - self._gone[0][0] >= RETURN_SECONDS:
            del self._gone[0]
            self._come = max(self._come - 1, 0)
