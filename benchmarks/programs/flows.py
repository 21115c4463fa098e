"""The workflows that are measured, for any SDK whose workflows are generators. A value module."""

from collections.abc import Callable, Generator
from typing import Any

Steps = Generator[Any, Any, Any]


def remote_step(_ctx: Any, number: int) -> int:
    return number + 1


def remote_noop(ctx: Any, number: int) -> Steps:
    """One activity that does next to nothing."""
    result = yield ctx.call_activity(remote_step, input=number)
    return result


def remote_chain(ctx: Any, length: int) -> Steps:
    """Steps one after the other."""
    done = 0
    while done < length:
        done = yield ctx.call_activity(remote_step, input=done)
    return done


def workflows(when_all: Callable[[list[Any]], Any]) -> tuple[Callable[[Any, int], Steps], ...]:
    """All of them; `when_all` is the SDK's."""

    def remote_fan_out(ctx: Any, width: int) -> Steps:
        """Steps side by side."""
        results = yield when_all(
            [ctx.call_activity(remote_step, input=number) for number in range(width)]
        )
        return sum(results)

    return remote_noop, remote_chain, remote_fan_out
