"""What becomes of the messages of a turn that could not be committed. A value module.

Every message is idempotent, so taking it again is right; the question is only whether it helps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from perdure.actors.errors import (
    CommitUnknown,
    NodeFenced,
    NodeStopping,
    NotOwner,
    Retryable,
    StoreUnavailable,
)
from perdure.actors.messages import WAKE, Delivery, Quarantine, ReminderDue


@dataclass(slots=True)
class Redelivery:
    """`refused` calls get the error; `repeated` messages are taken again after `delay_seconds`."""

    refused: list[Delivery] = field(default_factory=list)
    repeated: list[Delivery] = field(default_factory=list)
    delay_seconds: float = 0.0


def after_failure(batch: Iterable[Delivery], error: Exception, attempts_max: int) -> Redelivery:
    """Sort the messages of a failed turn, and count the attempt.

    A turn that fails again and again for a reason that time does not mend ends in a `Quarantine`
    message, so that one actor's trouble stays its own.
    """
    found = Redelivery()
    worst = 0
    elsewhere = isinstance(error, (NodeStopping, NodeFenced, NotOwner))
    lasting = elsewhere or isinstance(error, StoreUnavailable)
    for delivery in batch:
        delivery.attempts += 1
        worst = max(worst, delivery.attempts)
        hopeless = lasting or delivery.attempts > attempts_max
        if delivery.reply is not None and (hopeless or delivery.reply.done()):
            found.refused.append(delivery)
        elif not _is_left_out(delivery.body, error):
            found.repeated.append(delivery)
    if elsewhere:
        found.repeated.clear()  # What is durable is found by whoever comes next.
        return found
    if worst > attempts_max and not isinstance(error, Retryable):
        reason = f"its turn failed {worst} times, at last with {type(error).__name__}: {error}"
        tells = [delivery for delivery in found.repeated if delivery.reply is None]
        found.repeated = [Delivery(Quarantine(reason)), *tells]
    if isinstance(error, CommitUnknown) and not found.repeated:
        # If it stands after all, what was to follow it is still to be done.
        found.repeated.append(Delivery(WAKE))
    # A store that is back must not be kept waiting; a turn that fails had better be.
    longest = 1.0 if isinstance(error, Retryable) else 16.0
    found.delay_seconds = min(0.01 * 4.0 ** min(worst, 6), longest)
    return found


def _is_left_out(body: object, error: Exception) -> bool:
    """Whether a message comes again by itself, or must not.

    A reminder does: its row is there. But each time it does so as a new message, and a turn that
    it makes fail for no passing reason must be counted to its end.
    """
    return isinstance(body, Quarantine) or (
        isinstance(body, ReminderDue) and isinstance(error, Retryable)
    )
