"""What can go wrong with a node's place in the cluster. A value module."""

from __future__ import annotations

from perdure.actors.errors import Refused, Retryable


class NodeIdTaken(Refused):
    """A living process already runs under this node id."""


class ClusterSecretWrong(Refused):
    """This node's cluster secret is not that of the nodes that are there."""


class MessageTooLarge(Refused):
    """A request or an answer is larger than nodes send to each other."""


class NodeUnreachable(Retryable):
    """Another node did not answer; what was asked of it may have been done or not."""

    retry_after = 0.5
