"""JSON payloads and times on the command line. A value module.

They are checked where they are typed: inside a workflow the error would come late.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import IO, TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    import msgspec

Fn = TypeVar("Fn", bound=Callable[..., object])


def payload_options(name: str, what: str) -> Callable[[Fn], Fn]:
    """Add the options `--<name>` and `--<name>-file`; `payload` reads what they were given."""
    in_file = click.option(
        f"--{name}-file",
        type=click.File(encoding="utf-8"),
        metavar="FILE",
        callback=_from_file,
        help=f"File with {what}.",
    )
    typed = click.option(
        f"--{name}",
        metavar="JSON",
        callback=_from_text,
        help=f"{what.capitalize()}, as JSON; '-' reads it from stdin.",
    )
    return lambda command: typed(in_file(command))


def payload(text: str | None, from_file: str | None, name: str) -> msgspec.Raw | None:
    """The payload of two options of which one may be given, exactly as it was typed."""
    if text is not None and from_file is not None:
        raise click.UsageError(f"--{name} and --{name}-file exclude each other")
    given = text if text is not None else from_file
    if given is None:
        return None
    import msgspec

    return msgspec.Raw(given.encode())


def moment(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """The time of an option: ISO 8601; one without a zone is local."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no time; write it like 2026-12-31T18:00 or 2026-12-31T17:00:00Z"
        ) from error


def _from_text(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text == "-":
        text = sys.stdin.read()
    return text if text is None else _checked(text, parameter.opts[-1])


def _from_file(
    context: click.Context, parameter: click.Parameter, file: IO[str] | None
) -> str | None:
    if file is None:
        return None
    try:
        return _checked(file.read(), parameter.opts[-1])
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{parameter.opts[-1]}: {file.name} is not UTF-8 text") from error


def _checked(text: str, option: str) -> str:
    try:
        json.loads(text)
    except ValueError as error:
        hint = ""
        if text.strip()[:1].isalpha():
            hint = f" A text needs quotes of its own: {option} '{json.dumps(text.strip())}'"
        raise click.UsageError(f"{option} is not JSON: {error}.{hint}") from error
    return text
