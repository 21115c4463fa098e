"""Which node a command talks to, and how it prints: options of every command. A value module.

They may stand before the command or after it; what stands nearest to it counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from perdure.runtime.sync_client import SyncWorkflowClient

Fn = TypeVar("Fn", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """Filled by the options while the command line is parsed, and read after."""

    url: str | None = None
    token_file: Path | None = None
    output: str = "table"

    @property
    def wants_json(self) -> bool:
        return self.output == "json"

    def client(self) -> SyncWorkflowClient:
        """A client of the chosen node."""
        from perdure.runtime.remote.settings import DEFAULT_URL
        from perdure.runtime.sync_client import SyncWorkflowClient

        url = self.url or os.environ.get("PERDURE_URL") or DEFAULT_URL
        try:
            return SyncWorkflowClient(url, api_token=self._token())
        except ValueError as error:
            raise click.UsageError(f"--url: {error}") from error

    def _token(self) -> str | None:
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            problem = f"cannot read {self.token_file}: {error.strerror}"
            raise click.UsageError(f"--api-token-file: {problem}") from error
        except ValueError as error:
            raise click.UsageError(f"--api-token-file: {error}") from error
        if not token:
            raise click.UsageError(f"--api-token-file: {self.token_file} is empty")
        return token


def settings() -> Settings:
    """The settings of the running command."""
    return click.get_current_context().find_root().ensure_object(Settings)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None:
        assert parameter.name is not None
        setattr(context.find_root().ensure_object(Settings), parameter.name, value)


def node_options(command: Fn) -> Fn:
    """Add the options that `Settings` holds to a command or a group."""
    for option in (
        click.option(
            "-o",
            "--output",
            type=click.Choice(["table", "json"]),
            help="Tables for people, or JSON for programs.  [default: table]",
            callback=_keep,
            expose_value=False,
        ),
        click.option(
            "--api-token-file",
            "token_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="File with the node's API token; else PERDURE_API_TOKEN or DAPR_API_TOKEN.",
            callback=_keep,
            expose_value=False,
        ),
        click.option(
            "--url",
            metavar="URL",
            help="The node; else PERDURE_URL.  [default: http://127.0.0.1:3500]",
            callback=_keep,
            expose_value=False,
        ),
    ):
        command = option(command)
    return command
