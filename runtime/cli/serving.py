"""Runs a node until it is told to stop, in the foreground of a terminal. An edge module."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from perdure.actors.errors import PerdureError
from perdure.runtime import garbage
from perdure.runtime.cli import logs
from perdure.runtime.cli.configuring import node_config
from perdure.runtime.cli.exits import ExitCode, code_of
from perdure.runtime.cli.listening import problem_of_node
from perdure.runtime.cli.load import LoadError, load_app
from perdure.runtime.cli.say import say, told
from perdure.runtime.cli.tether import hold_on_to
from perdure.runtime.config import ConfigError, NodeConfig
from perdure.runtime.node import ACTIVITY_THREADS, Node
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.source import line_in

_SUPERVISED = {"reuse_port": True}
_SUPERVISED_DEFAULTS = {"kill_stuck_writer": True}
"""Somebody is there who starts it again."""


def run(
    app: str | None,
    flags: Mapping[str, Any],
    config_path: Path | None,
    *,
    use_uvloop: bool,
    tether: int | None = None,
) -> int:
    """Serve APP, None for no code; returns the exit code. Everything that is said goes to stderr.

    `tether`, a descriptor, is given to the worker process of a supervisor.
    """
    try:
        if tether is None:
            config = node_config(app, flags, config_path)
        else:
            hold_on_to(tether)
            config = node_config(app, {**flags, **_SUPERVISED}, config_path, _SUPERVISED_DEFAULTS)
            config = _with_ports_of_supervisor(config, flags)
        logs.set_up(config.log_level, app)
        has_workers = config.grpc_port is not None
        registry = Registry() if app is None else load_app(app, activities_suffice=has_workers)
        node = Node(registry, config=config, http=True)
    except ConfigError as error:
        return told(str(error), ExitCode.USAGE)
    except LoadError as error:
        return told(str(error), error.exit_code)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(use_uvloop)) as runner:
            runner.run(_serve(node, app, is_supervised=tether is not None))
    except KeyboardInterrupt as error:
        # Ctrl-C does not come this way: it is the app's own, and only the node's end stops it.
        where = line_in(error.__traceback__) or "code of the app"
        return told(f"stopped at once by a KeyboardInterrupt at {where}", ExitCode.INTERRUPTED)
    except (PerdureError, OSError, BaseExceptionGroup) as error:
        return _ended(error, node)
    if any(thread.name.startswith(ACTIVITY_THREADS) for thread in threading.enumerate()):
        # Python would wait for them, for ever if need be; they were given their time.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(ExitCode.OK)
    return ExitCode.OK


def _with_ports_of_supervisor(config: NodeConfig, flags: Mapping[str, Any]) -> NodeConfig:
    """Without a port that was added to perdure.toml since: nobody would keep it from others."""
    if config.grpc_port is None or flags.get("grpc_port") is not None:
        return config
    say(
        f"grpc_port {config.grpc_port} is new and not served: "
        "SIGHUP opens no ports, start `perdure serve --workers` anew for that"
    )
    return replace(config, grpc_port=None)


async def _serve(node: Node, app: str | None, *, is_supervised: bool) -> None:
    config = node.config
    stop = _Stop(node, config.drain_seconds, is_supervised=is_supervised)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.signalled, number)
    async with node:
        garbage.settle()
        code = "no workflows of its own" if app is None else _contents(node.registry)
        where = f"{node.url}, grpc://{node.grpc_address}" if node.grpc_address else node.url
        say(f"ready on {where}, store {config.store} ({config.durability}), {code}")
        await node.run_until_stopped()
    say("stopped")


class _Stop:
    """What a signal does: the first asks the node to drain, the second ends the process.

    Not the second one in a worker process: a service manager may tell all processes to end, and the
    supervisor tells them again. Who wants them to end at once kills them.
    """

    def __init__(self, node: Node, drain_seconds: float, *, is_supervised: bool) -> None:
        self._node = node
        self._drain_seconds = drain_seconds
        self._is_supervised = is_supervised
        self._asked = False

    def signalled(self, number: int) -> None:
        if self._asked and self._is_supervised:
            return
        if self._asked:
            say("stopped at once; nothing that was acknowledged is lost")
            # Not `sys.exit`: that would wait for the threads of activities that still run.
            os._exit(128 + number)
        self._asked = True
        once_more = "" if self._is_supervised else "; once more ends it at once"
        say(f"stopping: running activities get {self._drain_seconds:g} seconds{once_more}")
        self._node.request_shutdown()


def _ended(error: BaseException, node: Node) -> int:
    """Say what ended the node, if the user can do something about it. A bug keeps its traceback."""
    first = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, OSError) and (found := problem_of_node(first, node.config)):
        return told(*found)
    if isinstance(first, PerdureError):
        if first is node.failure:
            return code_of(first)  # The log has said so.
        return told(str(first), code_of(first))
    raise error


def _loop_factory(use_uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not use_uvloop:
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _contents(registry: Registry) -> str:
    workflows = sum(1 for _ in registry.workflows())
    activities = sum(1 for _ in registry.activities())
    return f"{_counted(workflows, 'workflow')}, {_counted(activities, 'activity')}"


def _counted(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}s"
