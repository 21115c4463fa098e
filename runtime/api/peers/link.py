"""One authenticated WebSocket between two nodes, for both directions. An owner module.

What is sent in one iteration of the event loop leaves as one message; what one message brought is
handled in one go, so that the answers to it leave together again. No task per call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial

from perdure.actors.errors import MailboxFull, PerdureError
from perdure.placement.errors import MessageTooLarge, NodeUnreachable
from perdure.placement.ports import Receive
from perdure.runtime.api.peers.calls import PendingCalls
from perdure.runtime.api.peers.config import PeerConfig, Traffic
from perdure.runtime.api.peers.frames import (
    ANSWER,
    BUSY,
    CALL,
    FRAME_OVERHEAD_BYTES,
    FRAMES_MAX,
    LOST,
    TELL,
    TOO_LARGE,
    Frame,
    MalformedMessage,
    body_bytes_max,
    decode,
    encode,
)
from perdure.runtime.api.peers.handshake import PeerName
from perdure.runtime.api.peers.socket import CLOSE_SECONDS, PeerSocket, SocketClosed

BATCH_BYTES = 1 << 20
"""A message is not made larger than this by putting frames together."""
FRAME_MEMORY_BYTES = 128
"""What a waiting frame costs beside its body: a flood of empty ones counts too."""


class PeerLink:
    """Owned by whoever runs `run`, which ends with the link and raises nothing for its sake."""

    def __init__(
        self,
        socket: PeerSocket,
        peer: PeerName,
        dialer: PeerName,
        *,
        receive: Receive,
        config: PeerConfig,
        traffic: Traffic,
        log: logging.Logger,
    ) -> None:
        self.peer = peer
        self.dialer = dialer
        """Which of the two processes made the connection."""
        self.ended = asyncio.Event()
        """Set when `run` is through."""
        self.is_closed = False
        self._socket = socket
        self._receive = receive
        self._config = config
        self._traffic = traffic
        self._log = log
        self._body_max = body_bytes_max(config.message_bytes_max)
        self._batch_max = min(BATCH_BYTES, body_bytes_max(config.message_bytes_max))
        self._room = max(config.buffer_bytes_max, config.message_bytes_max)
        self._loop = asyncio.get_running_loop()
        self._calls = PendingCalls(f"node {peer.node_id!r}")
        self._frames: deque[Frame] = deque()
        self._unsent_bytes = 0
        """Of the frames that wait, and of those that are being written."""
        self._wake: asyncio.Future[None] | None = None
        """What the writer waits for when there is nothing to write."""
        self._stuck: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None

    @property
    def calls_pending(self) -> int:
        return len(self._calls)

    @property
    def unsent_bytes(self) -> int:
        return self._unsent_bytes

    async def run(self, first: bytes = b"") -> None:
        """Read and write until the link ends. Then no call is open any more.

        `first` is sent before everything else, as it is.
        """
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(first))
                try:
                    await self._read()
                finally:
                    writer.cancel()
        finally:
            self._end("the link was closed")
            try:
                await self._socket.cut()
            finally:
                if self._closing is not None:
                    self._closing.cancel()
                self.ended.set()

    async def call(self, request: bytes, seconds: float) -> bytes:
        """See `placement.ports.Peers`. Raises `MessageTooLarge` too."""
        if self.is_closed:
            raise NodeUnreachable(f"the link to node {self.peer.node_id!r} is closed")
        if len(request) > self._body_max:
            raise MessageTooLarge(
                f"a request of {len(request)} bytes is too large for a message between nodes: "
                f"at most {self._body_max}"
            )
        if len(self._calls) >= self._config.calls_max or self._is_full:
            raise MailboxFull(f"too much waits for node {self.peer.node_id!r} already")
        call, answer = self._calls.open(seconds)
        self._put((CALL, call, request))
        try:
            return await answer
        finally:
            self._calls.forget(call)

    def tell(self, message: bytes) -> None:
        if self.is_closed or self._is_full or len(message) > self._body_max:
            self._traffic.tells_dropped += 1
        else:
            self._put((TELL, 0, message))

    def close(self, reason: str) -> None:
        """End it, once what waits has been written, or after a second."""
        if not self.is_closed:
            self._end(reason)
            self._closing = self._loop.call_later(CLOSE_SECONDS, self._socket.transport.abort)

    def _end(self, reason: str) -> None:
        """From now on nothing is taken and nothing handed out."""
        if not self.is_closed:
            self.is_closed = True
            self._calls.fail_all(reason)
            self._wake_writer()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    # ---- outwards

    @property
    def _is_full(self) -> bool:
        return self._unsent_bytes >= self._config.buffer_bytes_max

    def _put(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._unsent_bytes += len(frame[2]) + FRAME_MEMORY_BYTES
        if self._wake is not None:
            self._wake_writer()
        if self._unsent_bytes >= self._config.buffer_bytes_max:
            self._watch_full()

    def _wake_writer(self) -> None:
        if self._wake is not None:
            if not self._wake.done():
                self._wake.set_result(None)
            self._wake = None

    def _watch_full(self) -> None:
        """A peer that does not read is given time; one that goes on asking meanwhile is not."""
        if self._unsent_bytes > 3 * self._room:
            self._give_up()
        elif self._stuck is None:
            self._stuck = self._loop.call_later(self._config.stuck_seconds, self._give_up)

    def _give_up(self) -> None:
        if self.is_closed:
            return
        self._log.warning(
            "a node does not read what it is sent; its link is closed",
            extra={
                "event": "peer_stuck",
                "node_id": self.peer.node_id,
                "unsent_bytes": self._unsent_bytes,
            },
        )
        self._end("it does not read what it is sent")
        self._frames.clear()
        self._socket.transport.abort()

    async def _write(self, first: bytes) -> None:
        try:
            if first:
                await self._socket.send(first)
            while self._frames or not self.is_closed:
                if not self._frames:
                    self._wake = self._loop.create_future()
                    await self._wake
                    continue
                frames, size = self._next_batch()
                await self._socket.send(encode(frames))
                self._traffic.messages_sent += len(frames)
                self._traffic.batches_sent += 1
                self._unsent_bytes -= size
                if self._stuck is not None and not self._is_full:
                    self._stuck.cancel()
                    self._stuck = None
        except OSError:
            self._socket.transport.abort()  # The reader meets the same end, and tells.
        else:
            self._socket.transport.close()

    def _next_batch(self) -> tuple[list[Frame], int]:
        """What leaves as one message, and how much less is unsent then."""
        waiting = self._frames
        frames: list[Frame] = []
        size = bodies = 0
        while waiting and len(frames) < FRAMES_MAX:
            body = len(waiting[0][2])
            bodies += body + FRAME_OVERHEAD_BYTES
            if frames and bodies > self._batch_max:
                break
            size += body + FRAME_MEMORY_BYTES
            frames.append(waiting.popleft())
        return frames, size

    # ---- inwards

    async def _read(self) -> None:
        try:
            # Once it is closed too: what waits is still being written.
            while True:
                frames = decode(await self._socket.receive())
                self._traffic.messages_received += len(frames)
                self._traffic.batches_received += 1
                for frame in frames:
                    self._take(frame)
        except SocketClosed as error:
            self._end(str(error))
        except MalformedMessage as error:
            if not self.is_closed:
                self._log.warning(
                    "a node sent what no node sends; its link is closed",
                    extra={
                        "event": "peer_malformed",
                        "node_id": self.peer.node_id,
                        "reason": str(error)[:200],
                    },
                )
            self._end("it sent what no node sends")

    def _take(self, frame: Frame) -> None:
        if self.is_closed:
            return
        kind, call, body = frame
        if kind == CALL:
            if self._is_full:
                self._put((BUSY, call, b""))
            else:
                self._hand_over(body, call)
        elif kind == ANSWER:
            self._calls.answered(call, body)
        elif kind == TELL:
            self._hand_over(body, None)
        else:
            self._calls.failed(call, self._failure(kind))

    def _hand_over(self, body: bytes, call: int | None) -> None:
        answer = None if call is None else partial(self._answer, call)
        try:
            self._receive(body, answer)
        except Exception:
            self._log.exception(
                "a message of a node could not be taken; its link is closed",
                extra={"event": "peer_message_failed", "node_id": self.peer.node_id},
            )
            self._end("a message could not be taken")
            self._frames.clear()
            self._socket.transport.abort()

    def _answer(self, call: int, body: bytes) -> None:
        if self.is_closed:
            return
        if len(body) > self._body_max:
            self._put((TOO_LARGE, call, b""))
        elif self._unsent_bytes + len(body) > 2 * self._room:
            self._put((LOST, call, b""))
        else:
            self._put((ANSWER, call, body))

    def _failure(self, kind: int) -> PerdureError:
        name = f"node {self.peer.node_id!r}"
        if kind == BUSY:
            return MailboxFull(f"{name} has no room for answers, so it takes no requests")
        if kind == LOST:
            return NodeUnreachable(f"{name} has carried it out, but had no room for the answer")
        assert kind == TOO_LARGE
        return MessageTooLarge(
            f"{name} has carried it out, but the answer is too large for a message between nodes"
        )

    def __repr__(self) -> str:
        return (
            f"<PeerLink {self.peer.node_id} {'closed' if self.is_closed else 'open'} "
            f"calls={len(self._calls)} unsent_bytes={self._unsent_bytes}>"
        )
