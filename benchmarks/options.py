"""How to measure: the choices of the command line, handed on to every process. A value module."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from perdure import NodeConfig
from perdure.runtime.config import Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    directory: str
    """Where the databases go; every workload makes its own."""
    durability: str = "full"
    quick: bool = False
    uvloop: bool = True
    """Use uvloop if it is installed, as `perdure serve` does."""
    settle: bool = True
    """Set the garbage collector as `perdure serve` does."""

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 5

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def config(self, database: str) -> NodeConfig:
        """The settings of a node: the defaults, but for what is measured."""
        return NodeConfig(
            store=Path(self.directory) / f"{database}.db",
            durability=Durability(self.durability),
            port=0,
            log_level="error",
        )

    def encoded(self) -> str:
        return msgspec.json.encode(self).decode()


def decoded(text: str) -> Options:
    return msgspec.json.decode(text, type=Options)


def uvloop_version() -> str | None:
    try:
        return version("uvloop")
    except PackageNotFoundError:
        return None


def loop_factory(options: Options) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For `asyncio.Runner`; None for asyncio's own loop."""
    if not options.uvloop or uvloop_version() is None:
        return None
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
