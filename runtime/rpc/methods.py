"""What a method is to the gRPC server: its request, the function that answers it. A value module.

A function gets the parsed request and its `Caller`, and returns a message, or raises one of our
errors. It knows nothing of gRPC; `calls` does the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from perdure.runtime.rpc.statuses import RpcStatus, task_hub

Q = TypeVar("Q", bound=Message)

Refuse: TypeAlias = Callable[[Exception, Q], RpcStatus]
"""From an error, and the request that met it, to the status of the call."""


@dataclass(slots=True)
class Caller:
    """Who makes a call, as far as it tells."""

    peer: str
    """Its address, in gRPC's form."""
    told: Sequence[tuple[str, str | bytes]]
    """What came along."""
    seconds_left: Callable[[], float | None]
    """Until it stops waiting; None if it waits without limit."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What came along as text, by key."""
        return texts(self.told)


def texts(metadata: Sequence[tuple[str, str | bytes]]) -> dict[str, str]:
    """The part of a call's metadata that is text, by key; of one that came twice, the last."""
    return {key: value for key, value in metadata if isinstance(value, str)}


def _as_task_hub(error: Exception, request: object) -> RpcStatus:
    return task_hub(error)


@dataclass(frozen=True, slots=True)
class Unary(Generic[Q]):
    """A method with one answer.

    One that `waits` for something changes nothing: it is broken off when the server closes, by a
    cancellation of its function, and its client told to try again elsewhere. So is every function
    if its client goes.
    """

    request: type[Q]
    answer: Callable[[Q, Caller], Awaitable[Message]]
    waits: bool = False
    is_large: bool = False
    """Its request may be as long as the server receives any: a worker's, who does not try again."""
    refuse: Refuse[Q] = _as_task_hub


@dataclass(frozen=True, slots=True)
class Streaming(Generic[Q]):
    """A method with a stream of answers, messages or their encoded form.

    The stream ends with its client, or with the server, or by itself; the iterator is closed in any
    case. An item is asked for when gRPC has taken the one before.
    """

    request: type[Q]
    items: Callable[[Q, Caller], AsyncIterator[Message | bytes]]
    refuse: Refuse[Q] = _as_task_hub


Method: TypeAlias = Unary[Any] | Streaming[Any]
Methods: TypeAlias = Mapping[str, Method]
"""The methods of one service, by name."""
