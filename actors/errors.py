"""The errors of the actor runtime, sorted by what the caller should do. A value module.

`Retryable`: nothing was done, or it is not known; the same call may be made again.
`Refused`: the request cannot be carried out as it stands; repeating it changes nothing.
`Fault`: the code or the stored data is wrong; a person has to look.
"""

from __future__ import annotations


class PerdureError(Exception):
    """The root of every error that this package raises on purpose."""


class Retryable(PerdureError):
    """Try the same call again, after `retry_after` seconds."""

    retry_after: float = 1.0


class Refused(PerdureError):
    """The request cannot be carried out; correct it."""


class Fault(PerdureError):
    """Code or stored data is wrong; repeating the call does not help."""


class MailboxFull(Retryable):
    """An actor, or the node, has as many waiting messages as it accepts."""


class StoreUnavailable(Retryable):
    """The database cannot write at present: disk full, read-only, or out of reach.

    Nothing was acknowledged and nothing that was acknowledged is lost.
    """


class CommitUnknown(Retryable):
    """It is not known whether a transaction took effect; the reader has to look."""


class TurnConflict(Retryable):
    """A unit of work met rows that another turn, or another owner, has changed meanwhile."""


class NodeFenced(Retryable):
    """This node's membership was taken from it; it must rejoin with a new generation."""


class NodeStopping(Retryable):
    """The node is draining and takes no more turns."""


class NotOwner(Retryable):
    """The actor's slot belongs to another node, or is on its way to one."""

    retry_after = 0.1


class ActorTypeUnknown(Refused):
    """No actor of this type is hosted."""


class StoreDamaged(Fault):
    """The database file is corrupt, of a newer schema, or no database at all."""
