"""`perdure serve`: the options of a node. An edge module; `serving` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from perdure.runtime.cli.exits import EPILOG


@click.command(epilog=EPILOG)
@click.argument("app")
@click.option("--host", metavar="ADDRESS", help="Listen on this address.  [default: 127.0.0.1]")
@click.option("--port", metavar="NUMBER", help="Listen on this port; 0 takes any.  [default: 3500]")
@click.option("--store", metavar="FILE", help="The database.  [default: perdure.db]")
@click.option("--app-id", metavar="NAME", help="Whose workflows these are.  [default: default]")
@click.option(
    "--durability",
    metavar="full|normal",
    help="Survive a power cut, or only a crash of the process, which is faster.  [default: full]",
)
@click.option(
    "--drain",
    "--drain-seconds",
    "drain_seconds",
    metavar="DURATION",
    help="How long running activities may take when the node stops.  [default: 10s]",
)
@click.option(
    "--max-body-size",
    "--max-body-bytes",
    "max_body_bytes",
    metavar="SIZE",
    help="Refuse larger requests.  [default: 4MiB]",
)
@click.option(
    "--log-level", metavar="LEVEL", help="debug, info, warning or error.  [default: info]"
)
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without an API token.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Further settings.  [default: perdure.toml, if it exists]",
)
@click.option("--no-uvloop", is_flag=True, help="Use Python's own event loop even so.")
def serve(
    app: str, config_path: Path | None, no_uvloop: bool, insecure: bool, **flags: Any
) -> None:
    """Run a node with the workflows of APP.

    APP is a file (app.py) or a module (shop.orders), and may name an object in it
    (shop.orders:registry). Every setting may also stand in the environment (PERDURE_PORT) or in
    perdure.toml; a flag counts most. The API token comes from PERDURE_API_TOKEN or DAPR_API_TOKEN.

    Ctrl-C or SIGTERM stops the node: running activities get the time of --drain. A second one ends
    it at once, which loses nothing either.
    """
    from perdure.runtime.cli.serving import run

    given = {**flags, "insecure": insecure or None}
    raise click.exceptions.Exit(run(app, given, config_path, use_uvloop=not no_uvloop))
