"""What a dispatcher of activities works with, and its settings. A value module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from perdure.actors.gate import Limits
from perdure.actors.identity import ActorRef
from perdure.placement.membership import Membership
from perdure.placement.router import Router
from perdure.runtime.workflow.activities.runner import ActivityRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchConfig:
    app_id: str
    spread_seconds: float = 0.02
    """Once an activity has waited here for so long, nodes with room are looked for."""
    room_seconds: float = 0.25
    """How often others are told how much room there is, if that has changed."""
    ask_seconds: float = 2.0
    patience_seconds: float = 10.0
    """A node that lives but cannot be asked for so long is taken not to be at it."""
    recheck_seconds: float = 10.0
    limits: Limits = field(default_factory=Limits)
    """For all nodes of the app together."""


@dataclass(frozen=True, slots=True)
class DispatchParts:
    """The collaborators of a dispatcher."""

    router: Router
    runner: ActivityRunner
    has_code: Callable[[str], bool]
    """Whether this node has the code of an activity."""
    look_again: Callable[[ActorRef], bool]
    """Has a workflow tell its unanswered activities once more; False if it is busy."""
    has_worker: Callable[[Membership, str], bool] = lambda node, name: True
    """Whether a worker of another node runs an activity."""
