"""What a dispatcher of activities works with, and its settings. A value module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from perdure.actors.gate import Limits
from perdure.actors.identity import ActorRef
from perdure.placement.membership import Membership, NodeRecord
from perdure.placement.router import Router
from perdure.runtime.workflow.activities import wire
from perdure.runtime.workflow.activities.runner import ActivityRunner, Deliver
from perdure.runtime.workflow.delivery import until_taken
from perdure.runtime.workflow.messages import RunActivity, Undeliverable
from perdure.runtime.workflow.workers.numbers import action_id


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
    crossing_bytes_max: int = 16 << 20
    """What nodes can send to each other. An activity that is larger runs where its workflow is."""

    def may_cross(self, message: RunActivity) -> bool:
        return wire.may_cross(message, self.crossing_bytes_max)

    def too_large(self, message: RunActivity) -> Undeliverable:
        """What is said of one that is too large to cross, and must."""
        reason = (
            f"activity '{message.name}::{action_id(message.task_id)}' payload size "
            f"{wire.size_of(message)} bytes exceeds what nodes send to each other, "
            f"{self.crossing_bytes_max} bytes, and the node of its workflow cannot run it: connect "
            "a worker to that node, or increase --max-body-size and restart to resume"
        )
        return Undeliverable(*message.key_of_call, reason)


@dataclass(frozen=True, slots=True)
class DispatchParts:
    """The collaborators of a dispatcher."""

    router: Router
    runner: ActivityRunner
    has_code: Callable[[str], bool]
    """Whether this node has the code of an activity."""
    look_again: Callable[[ActorRef], bool]
    """Has a workflow tell its unanswered activities once more; False if it is busy."""
    deliver: Deliver
    has_worker: Callable[[Membership, str], bool] = lambda node, name: True
    """Whether a worker of another node runs an activity."""

    def fit_for(self, node: NodeRecord, config: DispatchConfig) -> Callable[[RunActivity], bool]:
        """What that node could run. Not what another one has given: it would look for it here."""
        hosted = frozenset(node.identity.hosted_types)
        return lambda message: (
            (
                self.has_worker(node.membership, message.name)
                if self.runner.is_at_worker(message.name)
                else f"activity:{message.name}" in hosted
            )
            and self._is_own(message)
            and config.may_cross(message)
        )

    async def keep(self, message: RunActivity, config: DispatchConfig) -> None:
        """Have its workflow stop for one that only other nodes could run, and cannot be sent."""
        answer = config.too_large(message)
        await until_taken(lambda: self.deliver(message, answer))

    def is_stranded(self, message: RunActivity) -> bool:
        """Whether it waits for a worker where none is, and nobody here would give it away."""
        return (
            self.runner.is_at_worker(message.name)
            and not self.runner.has_worker(message.name)
            and not self._is_own(message)
        )

    def _is_own(self, message: RunActivity) -> bool:
        """Whether a workflow of this node wants it."""
        return message.caller_app is None and self.router.owned(message.instance_id) is not None
