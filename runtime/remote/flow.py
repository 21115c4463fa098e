"""Operations that take several requests: retries, waiting. A value module: no I/O, no sleep.

Each is a generator. It yields what to do next (`Send` a request, `Pause` for a while), is sent what
came of it (an `Answer` or a `Broken` connection, or None after a pause), and returns the result.
The two clients differ only in how they do these steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from perdure.actors.errors import PerdureError
from perdure.runtime.remote.calls import Answer, Call, Calls, Request
from perdure.runtime.remote.errors import AnswerLost, CannotConnect
from perdure.runtime.remote.state import WorkflowState
from perdure.runtime.remote.status import WorkflowStatus

T = TypeVar("T")

POLL_SECONDS = 30.0
"""What one long poll asks for: shorter than proxies keep a silent connection."""
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 3.0


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request, and report the answer."""

    request: Request


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer came. `sent` is False if no connection was made, so that nothing has happened."""

    reason: str
    sent: bool


Outcome: TypeAlias = Answer | Broken | None
Flow: TypeAlias = Generator[Send | Pause, Outcome, T]


class Conversation:
    """What a client knows of its node over all requests: where it is, and whether it ever answered.

    A node that has never answered is a wrong URL until proven otherwise, and the user is told at
    once; one that did is being restarted, and is waited for.
    """

    def __init__(self, url: str, retry_seconds: float, now: Callable[[], float]) -> None:
        self.url = url
        self._retry_seconds = retry_seconds
        self._now = now
        self._has_answered = False

    def perform(self, call: Call[T]) -> Flow[T]:
        """One call, repeated while that is harmless and may help."""
        give_up_at = self._now() + self._retry_seconds
        delay = _FIRST_DELAY
        while True:
            outcome = yield Send(call.request)
            if isinstance(outcome, Answer):
                self._has_answered = True
                if outcome.status not in (429, 503):
                    return call.read(outcome)
            problem, may_repeat = self._judge(call, outcome)
            asked_for = outcome.retry_after if isinstance(outcome, Answer) else None
            # Jitter: clients that were turned away together must not come back together.
            wait = random.uniform(0.5, 1.0) * delay if asked_for is None else asked_for
            if not may_repeat or self._now() + wait > give_up_at:
                raise problem
            yield Pause(wait)
            delay = min(delay * 2, _LONGEST_DELAY)

    def _judge(self, call: Call[T], outcome: Outcome) -> tuple[PerdureError, bool]:
        match outcome:
            case Answer():
                return outcome.problem(), True
            case Broken(reason, sent=False):
                return CannotConnect(self.url, reason), self._has_answered
            case Broken(reason):
                return AnswerLost(self.url, call.what, reason), call.repeatable
            case None:
                raise AssertionError("a request was reported as a pause")

    def poll(
        self, calls: Calls, instance_id: str, until: str, seconds: float
    ) -> Flow[WorkflowState]:
        """The state once its status is one of `until`, or as it is after so many seconds.

        `until` is as in the API: `completed`, `started`, or names of statuses.
        """
        asked_at = self._now()
        state = yield from self.perform(calls.poll(instance_id, until, seconds))
        if not _reached(state.runtime_status, until) and self._now() - asked_at < seconds / 2:
            # It did not wait: Dapr's own runtime, which does not know the parameter.
            yield Pause(min(1.0, seconds))
        return state

    def wait(
        self, calls: Calls, instance_id: str, until: str, timeout: float | None
    ) -> Flow[WorkflowState]:
        """Poll until the status is one of `until`.

        Raises `TimeoutError` after `timeout` seconds; None and 0 wait for ever.
        """
        give_up_at = self._now() + timeout if timeout else None
        while True:
            left = POLL_SECONDS if give_up_at is None else max(0.0, give_up_at - self._now())
            seconds = min(POLL_SECONDS, left)
            state = yield from self.poll(calls, instance_id, until, seconds)
            if _reached(state.runtime_status, until):
                return state
            if give_up_at is not None and self._now() >= give_up_at:
                raise TimeoutError(
                    f"workflow '{instance_id}' is still {state.runtime_status} "
                    f"after {timeout:g} seconds"
                )


def _reached(status: WorkflowStatus, until: str) -> bool:
    match until:
        case "completed":
            return status.is_terminal
        case "started":
            return status is not WorkflowStatus.PENDING
        case _:
            wanted = until.split(",")
            # Nothing follows the end. A stalled instance has no name of its own in Dapr's answers.
            is_stalled = status is WorkflowStatus.UNKNOWN and WorkflowStatus.STALLED in wanted
            return status in wanted or status.is_terminal or is_stalled
