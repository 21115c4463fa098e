"""What all workflow actors of a node share, and their limits. A value module."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from perdure.actors.ports import Env
from perdure.runtime.workflow.keys import Keys
from perdure.runtime.workflow.payload import DEFAULT_LIMITS, PayloadLimits
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.spans import Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowConfig:
    history_events_warn: int = 10_000
    history_events_max: int = 50_000
    history_bytes_max: int = 64 << 20
    unclean_deaths_max: int = 5
    """Deaths of its node with the instance in flight, after which it is set aside."""
    continue_as_new_max: int = 20
    """Runs that one turn may go through."""
    payloads: PayloadLimits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workflow actors of a node share."""

    registry: Registry
    env: Env
    keys: Keys
    config: WorkflowConfig
    log: logging.Logger
    elsewhere: Callable[[str], list[str]] = lambda name: []
    """The other nodes of the app whose code has a workflow of that name."""
    app_id: str = "default"
    """The app of these actors."""
    has_workers: Callable[[], bool] = lambda: False
    """Whether code that no node has may be in workers."""
    tracer: Tracer | None = None

    def warn_of_length(self, instance_id: str, events: int) -> None:
        self.log.warning(
            "a history grows long; use continue_as_new before it reaches the limit",
            extra={
                "event": "history_long",
                "instance_id": instance_id,
                "events": events,
                "limit": self.config.history_events_max,
            },
        )
