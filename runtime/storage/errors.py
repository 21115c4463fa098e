"""Why a database cannot be opened, or cannot be written at present. A value module."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.actors.errors import Refused, StoreUnavailable


class StoreRefused(Refused):
    """The database cannot be used where, or as, it is."""


class NetworkFileSystem(StoreRefused):
    """The database lies on a file system of the network, where file locks cannot be relied on."""


class NotARegularFile(StoreRefused):
    """The database is a symbolic link, has several names, or is not a file at all."""


class DirectoryMissing(StoreRefused):
    """The directory of the database does not exist."""


class NotWritable(StoreRefused):
    """This user may not write the database, or its directory."""


class ForeignDatabase(StoreRefused):
    """The file is a SQLite database of something else."""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that last took the write lock, in its own words."""

    pid: int
    started: int
    node_id: str
    may_be_killed: bool = False
    """By a node that has waited for two leases: somebody is there who starts it again."""

    def __str__(self) -> str:
        return f"process {self.pid} (node {self.node_id!r})"


class WriterStuck(StoreUnavailable):
    """Another process holds the write lock for longer than any transaction takes."""

    def __init__(self, message: str, holder: LockHolder | None) -> None:
        super().__init__(message)
        self.holder = holder
