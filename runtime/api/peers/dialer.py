"""The outgoing half of the handshake between nodes. An owner module."""

from __future__ import annotations

import asyncio
from types import TracebackType

import aiohttp

from perdure.actors.errors import PerdureError
from perdure.runtime.api.peers.config import PeerConfig
from perdure.runtime.api.peers.frames import MalformedMessage
from perdure.runtime.api.peers.handshake import (
    PEER_PATH,
    CloseCode,
    Credentials,
    PeerName,
    decode_challenge,
    decode_welcome,
    encode_proof,
    is_welcome,
    new_proof,
)
from perdure.runtime.api.peers.socket import (
    CLOSE_SECONDS,
    HEARTBEAT_SECONDS,
    DialledSocket,
    PeerSocket,
    SocketClosed,
)


class DialFailed(PerdureError):
    """There is no link this time."""


class SecretRefused(DialFailed):
    """The other node's secret is another one."""


class Dialer:
    """Owns the client side of aiohttp, from enter to exit."""

    def __init__(self, config: PeerConfig) -> None:
        self._config = config
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Dialer:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent",),
            ws_response_class=DialledSocket,
            middlewares=(_not_elsewhere,),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def dial(self, address: str, peer: PeerName, own: Credentials) -> PeerSocket:
        """Connect to a node, prove who we are and have it prove the same. Raises `DialFailed`."""
        socket: PeerSocket | None = None
        try:
            async with asyncio.timeout(self._config.connect_seconds):
                socket = await self._connected(address)
                await _greet(socket, peer, own)
        # ValueError: what stands in the row is no address.
        except (TimeoutError, OSError, aiohttp.ClientError, ValueError) as error:
            reason = "it takes too long" if isinstance(error, TimeoutError) else str(error)
            raise DialFailed(reason) from error
        except SocketClosed as error:
            if error.code == CloseCode.REFUSED:
                raise SecretRefused("its secret is another one, so it refused ours") from error
            raise DialFailed(str(error)) from error
        except MalformedMessage as error:
            raise DialFailed(str(error)) from error
        else:
            done, socket = socket, None
            return done
        finally:
            if socket is not None:
                await socket.cut()

    async def _connected(self, address: str) -> PeerSocket:
        assert self._session is not None
        web_socket = await self._session.ws_connect(
            f"http://{address}{PEER_PATH}",
            max_msg_size=self._config.message_bytes_max + 1,
            heartbeat=HEARTBEAT_SECONDS,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
        )
        assert isinstance(web_socket, DialledSocket)
        return PeerSocket(web_socket, web_socket.transport)


async def _not_elsewhere(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Follow no redirect: whoever answers at a node's old address must not send us about."""
    response = await handler(request)
    if response.status != 101:
        response.close()
        raise aiohttp.ClientConnectionError(f"it answers with HTTP status {response.status}")
    return response


async def _greet(socket: PeerSocket, peer: PeerName, own: Credentials) -> None:
    challenge = decode_challenge(await socket.receive())
    if challenge.name != peer:
        # Its port went to another process; the next view of the cluster will tell.
        raise DialFailed(
            f"node {challenge.name.node_id!r} answers at its address, or a later start"
        )
    proof = new_proof(own, challenge)
    await socket.send(encode_proof(proof))
    if not is_welcome(own.secret, challenge, proof, decode_welcome(await socket.receive())):
        raise SecretRefused("its proof of the secret is wrong")
