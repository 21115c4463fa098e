"""`perdure serve`: the options of a node. An edge module; `serving` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from perdure.runtime.cli.exits import EPILOG

_DEFAULT_CONFIG = Path("perdure.toml")


@click.command(epilog=EPILOG)
@click.argument("app", required=False)
@click.option("--host", metavar="ADDRESS", help="Listen on this address.  [default: 127.0.0.1]")
@click.option("--port", metavar="NUMBER", help="Listen on this port; 0 takes any.  [default: 3500]")
@click.option(
    "--grpc-port",
    metavar="NUMBER",
    help="Let workers in other processes connect to this port; 0 takes any.  "
    "[default: none; 50001 without APP]",
)
@click.option(
    "--worker-dialect",
    metavar="auto|dapr|microsoft",
    help="Take all such workers for Dapr's or Microsoft's, should `auto` be wrong.  "
    "[default: auto]",
)
@click.option("--store", metavar="FILE", help="The database.  [default: perdure.db]")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    metavar="NUMBER",
    help="Run so many processes behind the same ports.  [default: 1]",
)
@click.option("--app-id", metavar="NAME", help="Whose workflows these are.  [default: default]")
@click.option(
    "--node-id",
    metavar="NAME",
    help="What this node is called in its cluster.  [default: app id and process id]",
)
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
@click.option("--tether", type=int, hidden=True, help="For worker processes: see `cli/tether.py`.")
def serve(
    app: str | None,
    *,
    workers: int,
    config_path: Path | None,
    no_uvloop: bool,
    tether: int | None,
    **flags: Any,
) -> None:
    """Run a node with the workflows of APP, or of workers in other processes.

    APP is a file (app.py) or a module (shop.orders), and may name an object in it
    (shop.orders:registry). Every setting may also stand in the environment (PERDURE_PORT) or in
    perdure.toml; a flag counts most. The API token comes from PERDURE_API_TOKEN or DAPR_API_TOKEN.

    Without APP the node runs what programs for Dapr's SDKs bring with them, in any language: they
    connect by gRPC, as to a Dapr sidecar. With --grpc-port they may do so beside an APP, too.

    Ctrl-C or SIGTERM stops the node: running activities get the time of --drain. A second one ends
    it at once, which loses nothing either.

    With --workers, one process looks after the others: it starts those again that die, and SIGHUP
    has it replace one after the other, to bring in new code without a break.
    """
    given = {**flags, "insecure": flags["insecure"] or None}
    config_path = config_path or _default_config()
    if workers > 1:
        from perdure.runtime.cli import supervise

        code = supervise.run(app, given, config_path, workers=workers, use_uvloop=not no_uvloop)
    else:
        from perdure.runtime.cli import serving

        code = serving.run(app, given, config_path, use_uvloop=not no_uvloop, tether=tether)
    raise click.exceptions.Exit(code)


def _default_config() -> Path | None:
    return _DEFAULT_CONFIG if _DEFAULT_CONFIG.is_file() else None
