"""The `perdure` command: finds its commands when they are called for. An edge module."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from perdure.actors.errors import PerdureError
from perdure.runtime.cli.exits import EPILOG, ExitCode, code_of, message_of
from perdure.runtime.cli.settings import node_options

_COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": (
        "perdure.runtime.cli.serve:serve",
        "Run a node: with the workflows of APP, or of other processes.",
    ),
    "workflow": ("perdure.runtime.cli.workflow:workflow", "Start and manage workflows."),
    "cluster": ("perdure.runtime.cli.cluster:cluster", "Look at the nodes, and drain one."),
}
"""Where each command is defined, and its line in the help: that must not import them all."""


class PerdureGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Click's own hint at the nearest name would import every command.
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            step = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_COMMANDS)}."
            ctx.fail(f"no such command '{args[0]}'; {step}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
        except PerdureError as error:
            click.echo(f"perdure: {message_of(error)}", err=True)
            raise click.exceptions.Exit(code_of(error)) from error


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"perdure {version('perdure')}")
    context.exit()


@click.group(
    cls=PerdureGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@node_options
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Durable workflows on actors: serve an app, start its workflows and look after them."""
