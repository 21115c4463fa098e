"""What the commands that run a node say to the person who started them. An edge module."""

from __future__ import annotations

import contextlib
import sys

import click

from perdure.runtime.cli.exits import ExitCode


def say(message: str) -> None:
    """One line on stderr. If nobody is there to read it, that ends nothing."""
    with contextlib.suppress(OSError):
        click.echo(f"perdure: {message}", file=sys.stderr)


def told(message: str, code: ExitCode) -> ExitCode:
    """Say why it ends with this code."""
    say(message)
    return code
