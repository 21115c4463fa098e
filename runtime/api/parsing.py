"""Texts of parameters to values, each checked. A value module.

A parser takes the text of a parameter, or None if it is absent, and returns its value or raises
`InvalidRequest`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from perdure.runtime.workflow.errors import InvalidRequest
from perdure.runtime.workflow.history import TERMINAL, Status

BAD_REQUEST = "ERR_BAD_REQUEST"
INSTANCE_ID_BYTES_MAX = 64
WAIT_SECONDS_MAX = 60

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_APP_ID = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_KEY = re.compile(r"[ -~]{1,255}").fullmatch
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
).fullmatch
_TRACESTATE_MAX = 8192
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?").fullmatch
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bad_request(name: str, problem: str) -> InvalidRequest:
    """The refusal of an extension's parameter."""
    return InvalidRequest(BAD_REQUEST, f"parameter '{name}' is invalid: {problem}")


def shown(text: str) -> str:
    """A text from outside as part of a message."""
    return repr(text if len(text) <= 80 else text[:80] + "…")


def text(given: str | None) -> str | None:
    """Anything goes."""
    return given


def required(code: str, missing: str) -> Callable[[str | None], str]:
    """A parser of something that must be there."""

    def parse(given: str | None) -> str:
        if not given:
            raise InvalidRequest(code, missing)
        return given

    return parse


def new_instance_id(given: str | None) -> str | None:
    """The id wanted for a new instance, checked as Dapr does; None if none is given."""
    if not given:
        return None
    if _PLAIN_ID(given):
        return given
    if len(given.encode()) > INSTANCE_ID_BYTES_MAX:
        raise InvalidRequest(
            "ERR_INSTANCE_ID_TOO_LONG",
            f"workflow instance ID exceeds the max length of {INSTANCE_ID_BYTES_MAX} characters",
        )
    for character in given:
        category = unicodedata.category(character)
        if category[0] != "L" and category != "Nd" and character not in "_-":
            # Dapr's text forgets the dash, which is allowed; clients match on the text.
            raise InvalidRequest(
                "ERR_INSTANCE_ID_INVALID",
                f"workflow instance ID '{given}' is invalid: "
                "only alphanumeric and underscore characters are allowed",
            )
    return given


def other_app(given: str | None, own: str) -> str | None:
    """The app that a request is for, if it is another one than the node's own."""
    if not given or given == own:
        return None
    if not _APP_ID(given):
        raise InvalidRequest(
            "ERR_WORKFLOW_APP_ID_INVALID",
            f"workflow app ID '{given}' is invalid: "
            "only alphanumeric, dash and underscore characters are allowed",
        )
    return given


def idempotency_key(given: str | None) -> str | None:
    if given is not None and not _KEY(given):
        raise InvalidRequest(
            BAD_REQUEST,
            "header 'Idempotency-Key' is invalid: it takes 1 to 255 printable ASCII characters",
        )
    return given


def traceparent(given: str | None) -> str | None:
    """One that nobody can read does not count (W3C Trace Context): the request is as good."""
    return given if given is not None and _TRACEPARENT(given) else None


def tracestate(given: str | None) -> str | None:
    return given if given and len(given) <= _TRACESTATE_MAX and given.isprintable() else None


def time(name: str) -> Callable[[str | None], int | None]:
    """A parser of RFC 3339 times into microseconds since the epoch."""

    def parse(given: str | None) -> int | None:
        if given is None:
            return None
        problem = f'{shown(given)} is not in RFC3339 format (e.g. "2009-11-10T23:00:00Z")'
        if " " in given:
            problem += '; write the "+" of an offset as %2B'
        if not _RFC3339(given):
            raise bad_request(name, problem)
        try:
            moment = datetime.fromisoformat(given.upper())
        except ValueError as error:
            raise bad_request(name, f"{problem}: {error}") from error
        return (moment - _EPOCH) // timedelta(microseconds=1)

    return parse


def flag(name: str, default: bool) -> Callable[[str | None], bool]:
    """A parser of `true` and `false`."""

    def parse(given: str | None) -> bool:
        if given is None:
            return default
        if given not in ("true", "false"):
            raise bad_request(name, f"{shown(given)} is neither 'true' nor 'false'")
        return given == "true"

    return parse


def number(name: str, low: int, high: int, default: int) -> Callable[[str | None], int]:
    """A parser of whole numbers in a range."""

    def parse(given: str | None) -> int:
        if given is None:
            return default
        digits = given.isascii() and given.isdigit() and len(given) <= 9
        if not (digits and low <= int(given) <= high):
            raise bad_request(name, f"{shown(given)} is not a whole number from {low} to {high}")
        return int(given)

    return parse


def seconds(given: str | None) -> float | None:
    """How long to wait."""
    if given is None:
        return None
    if not _SECONDS(given) or float(given) > WAIT_SECONDS_MAX:
        raise bad_request(
            "timeout", f"{shown(given)} is not a number of seconds from 0 to {WAIT_SECONDS_MAX}"
        )
    return float(given)


def statuses(given: str | None) -> tuple[Status, ...]:
    """Statuses by name, separated by commas; none twice, in the order of their numbers."""
    if given is None:
        return ()
    return tuple(sorted({_status("status", word) for word in given.split(",")}))


def until(given: str | None) -> frozenset[Status] | None:
    """The statuses that end a wait. A finished instance always ends it: nothing follows."""
    if given is None:
        return None
    wanted = set(TERMINAL)
    for word in given.split(","):
        if word == "started":
            wanted |= set(Status) - {Status.PENDING}
        elif word != "completed":
            wanted.add(_status("wait", word, "started", "completed"))
    return frozenset(wanted)


def _status(name: str, word: str, *more: str) -> Status:
    try:
        return Status[word]
    except KeyError:
        known = ", ".join([*Status.__members__, *more])
        raise bad_request(name, f"{shown(word)} is none of {known}") from None


def newest_first(given: str | None) -> bool:
    """Whether a list begins with what was created last."""
    if given not in (None, "asc", "desc"):
        raise bad_request("order", f"{shown(given)} is neither 'asc' nor 'desc'")
    return given != "asc"
