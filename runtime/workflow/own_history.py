"""The history of a run while it lives, for calls that it goes with. An owner module.

Few runs hand their history on, and a long one takes room: so it is kept in memory from the first
turn that does so. Should the turns before it be missing then, that turn is decided again after a
load, which brings them. A run whose code is in a worker has its steps in any case.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.executor import Executor
from perdure.runtime.workflow.propagation import is_wanted
from perdure.runtime.workflow.workers.execution import WorkerExecution


class OwnHistory:
    """Owned by one live instance."""

    def __init__(self) -> None:
        self._turns: list[h.Turn] | None = None
        """None if they were not kept."""
        self._worker: WorkerExecution | None = None
        self._is_wanted = False

    def begin(self) -> None:
        """A run begins."""
        self._turns, self._worker, self._is_wanted = [], None, False

    def restore(self, turns: list[h.Turn]) -> None:
        """The turns that were stored, as the code has seen them."""
        self._turns, self._worker = turns, None
        self._is_wanted = any(is_wanted(turn.outgoing) for turn in turns)

    def add(self, turn: h.Turn, execution: Executor | None) -> bool:
        """One more turn. False if its calls want those before it, which were not kept."""
        if isinstance(execution, WorkerExecution):
            self._turns, self._worker = None, execution
            return True
        wanted = is_wanted(turn.outgoing)
        if self._turns is None:
            return not wanted
        self._turns.append(turn)
        self._is_wanted = self._is_wanted or wanted
        if not self._is_wanted:
            self._turns = None
        return True

    @property
    def turns(self) -> Sequence[h.Turn]:
        """Up to the last one that was added."""
        if self._worker is not None:
            return [step.turn for step in self._worker.steps]
        return self._turns or ()
