"""Whose code a call is aimed at, and what its result is to become. A value module."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from perdure.runtime.workflow.definition import Definition
from perdure.runtime.workflow.signature import hints_of

_APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a node may give as its app id."""
_RULE = "app_id must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or digit"


def no_app(app_id: str | None) -> str | None:
    """Why nothing can be an app of that id; None if something can, or if none is named."""
    if app_id is None or _APP_ID.fullmatch(app_id) is not None:
        return None
    return f"{_RULE}, found {app_id!r}"


def other_app(app_id: str | None, own_app: str) -> str | None:
    """The app of a call if it is another one than the caller's. Raises `ValueError`."""
    if app_id is None or app_id == own_app:
        return None
    if not isinstance(app_id, str) or _APP_ID.fullmatch(app_id) is None:
        raise ValueError(f"{_RULE}, found {app_id!r}")
    return app_id


def result_hint(
    target: Callable[..., Any] | str, known: Definition | None, app_id: str | None, chosen: Any
) -> Any:
    """What the result of a call is to become; `known` is what has the called name here.

    It is what the call says, else what the return hint of the called function says. A mere name
    says nothing about the code of another app.
    """
    if chosen is not None:
        return chosen
    if app_id is None:
        return Any if known is None else known.output_hint
    if isinstance(target, str):
        return Any
    if known is not None and known.fn == target:
        return known.output_hint
    return hints_of(target, None, f"function {target!r}")[1]
