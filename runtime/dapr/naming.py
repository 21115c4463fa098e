"""Under which name a function is registered and called. A value module.

The name stands in an attribute of the function, because a client in another module knows nothing
but the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Fn = TypeVar("Fn", bound=Callable[..., Any])

_NAME = "__perdure_dapr_name__"


def alternate_name(name: str | None = None) -> Callable[[Fn], Fn]:
    """Give a workflow or an activity another name than its function has."""

    def mark(fn: Fn) -> Fn:
        if (there := _given_name(fn)) is not None:
            raise ValueError(f"Function {_own_name(fn)} already has an alternate name {there}")
        _give_name(fn, name or _own_name(fn))
        return fn

    return mark


def claim_name(fn: Callable[..., Any], name: str | None, kind: str) -> str:
    """The name that `fn` is to be registered under, from now on its name for all callers."""
    there = _given_name(fn)
    if there is not None:
        if name not in (None, there):
            raise ValueError(f"{kind} {_own_name(fn)} already has an alternate name {there}")
        return there
    chosen = name or _own_name(fn)
    _give_name(fn, chosen)
    return chosen


def name_for(target: Callable[..., Any] | str) -> str:
    """The name by which a call means `target`."""
    if isinstance(target, str):
        return target
    return _given_name(target) or _own_name(target)


def _given_name(fn: Callable[..., Any]) -> str | None:
    given = getattr(fn, "__dict__", {}).get(_NAME)
    return given if isinstance(given, str) else None


def _give_name(fn: Callable[..., Any], name: str) -> None:
    # A bound method takes no attributes, its function does.
    function = getattr(fn, "__func__", fn)
    try:
        setattr(function, _NAME, name)
    except AttributeError as error:
        if name != _own_name(fn):
            raise ValueError(
                f"{fn!r} cannot be given the name '{name}': wrap it in a function"
            ) from error


def _own_name(fn: Callable[..., Any]) -> str:
    name = getattr(fn, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ValueError(f"{fn!r} has no name of its own: give name=...")
    return name
