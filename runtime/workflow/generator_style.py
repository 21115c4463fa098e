"""Runs generator workflows, which say `result = yield ctx.call_activity(...)`. A value module."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from typing import Any


async def drive(steps: Generator[Any, Any, Any]) -> Any:
    """Run a generator workflow: what it yields is awaited, and the outcome sent back in."""
    try:
        asked = next(steps)
        while True:
            if not isinstance(asked, asyncio.Future):
                asked = steps.throw(_no_task(asked))
                continue
            try:
                answer = await asked
            except Exception as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(answer)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def _no_task(asked: object) -> TypeError:
    step = ""
    if inspect.iscoroutine(asked):
        asked.close()  # Nobody awaits it any more, and Python would warn of it at a line of ours.
        step = "; coroutines are for `async def` workflows, which await them"
    elif isinstance(asked, list | tuple):
        step = "; to wait for several, yield perdure.when_all([…])"
    return TypeError(
        "a workflow yields tasks such as ctx.call_activity(…) returns, "
        f"not {type(asked).__name__}{step}"
    )
