"""How an instance stands, in Dapr's words. A value module."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WorkflowStatus(StrEnum):
    """Runtime status of an instance, by Dapr's names. Equal to the plain string, too."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CONTINUED_AS_NEW = "CONTINUED_AS_NEW"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    TERMINATED = "TERMINATED"
    PENDING = "PENDING"
    SUSPENDED = "SUSPENDED"
    STALLED = "STALLED"
    UNKNOWN = "UNKNOWN"
    """A status that Dapr's API has no name for; a stalled instance shows so in Dapr."""

    @classmethod
    def _missing_(cls, value: object) -> WorkflowStatus:
        # A newer node may know more of them; a client must not fall over that.
        return cls.UNKNOWN

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        WorkflowStatus.COMPLETED,
        WorkflowStatus.FAILED,
        WorkflowStatus.CANCELED,
        WorkflowStatus.TERMINATED,
    }
)


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """Why a workflow failed."""

    error_type: str
    message: str
    stack_trace: str | None = None
