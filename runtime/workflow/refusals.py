"""What workflow code must not do, and how it is told so. A value module.

Each refusal names the user's line and the way out.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from perdure.actors.errors import Refused
from perdure.runtime.workflow.source import line_in, source_line

_TASKS_FILE = asyncio.tasks.__file__
_FOREIGN = ("attached to a different loop", "await wasn't used with future", "got bad yield")
"""How asyncio says that what was awaited is not for this loop."""


class NotInWorkflow(Refused):
    """Workflow code did something that only an activity may do."""


def refused(what: str) -> Callable[..., Any]:
    def refuse(self: object, *args: object, **kwargs: object) -> Any:
        raise NotInWorkflow(
            f"{what} at {source_line()}: a workflow must not do I/O, start threads "
            "or handle signals, because it is replayed; do this in an activity and await "
            "ctx.call_activity(...)"
        )

    return refuse


def refuse_unordered(coro: object) -> None:
    """`asyncio.as_completed` makes tasks of coroutines in the order of their addresses."""
    frame = sys._getframe(2)
    for _ in range(5):
        code = frame.f_code
        if code.co_filename != _TASKS_FILE or frame.f_back is None:
            return
        if code.co_qualname.startswith(("as_completed", "_AsCompletedIterator")):
            if asyncio.iscoroutine(coro):
                coro.close()
            raise NotInWorkflow(
                f"asyncio.as_completed over coroutines at {source_line()}: it starts them in "
                "another order in every replay; give it tasks, made with asyncio.create_task(...)"
            )
        frame = frame.f_back


def refusal_of(error: BaseException) -> BaseException:
    """`error`, or in its place the refusal, if code has awaited what is not the workflow's."""
    text = str(error) if isinstance(error, RuntimeError) else ""
    if not any(words in text for words in _FOREIGN):
        return error
    refusal = NotInWorkflow(
        f"awaiting something real at {line_in(error.__traceback__)}: a workflow must not wait for "
        "anything but its own tasks, because it is replayed; do this in an activity and await "
        "ctx.call_activity(...)"
    )
    return refusal.with_traceback(error.__traceback__)
