"""What an instance makes of an activity that can be brought to nobody. A value module.

Neither has it failed, nor is anything lost: it has not begun. So the instance stalls, as it does
for a turn that is too large, and asks for the activity anew once it goes on.
"""

from __future__ import annotations

from perdure.actors.messages import Delivery
from perdure.runtime.workflow.live_instance import LiveInstance
from perdure.runtime.workflow.messages import Undeliverable
from perdure.runtime.workflow.turn import TurnDraft


def stop_for(
    message: Undeliverable, delivery: Delivery, live: LiveInstance, draft: TurnDraft
) -> None:
    """Stall the instance, if it waits for that activity."""
    row = live.row
    is_awaited = (
        row is not None
        and live.is_of_this_run(message)
        and message.task_id in live.open_tasks
        and live.stalled is None
        and not (row.status.is_terminal or draft.is_over)
    )
    if is_awaited and draft.has_events:
        draft.ends_here = True  # A stall writes no events.
        return
    draft.reply(delivery, None)
    if is_awaited:
        live.stall(message.reason, until_moved=True)
