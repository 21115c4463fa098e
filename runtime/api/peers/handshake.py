"""How two nodes prove to each other that they know the cluster's secret. A value module.

The one that was dialled sends a challenge: who it is, and a nonce. The dialer answers with who it
is, a nonce of its own, and an HMAC; the other ends with another HMAC. Each covers both names, both
nonces and who of the two made it, so that none is of use on any other connection or in the other
direction. The dialer proves itself first: a listener is open to everybody, and what it gave
away could be used to guess a weak secret at leisure.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgpack

from perdure.runtime.api.peers.frames import MalformedMessage, unpacked

PEER_PATH: Final = "/peer/1"
"""The number is that of the protocol: nodes of another one find nothing there."""
HANDSHAKE_BYTES_MAX: Final = 16_384
"""What may be received of a connection before it is authenticated, HTTP head included."""
_NAME_LENGTH_MAX: Final = 512
_NONCE_BYTES: Final = 32
_MAC_BYTES: Final = 32
_PURPOSE: Final = b"perdure peer link 1"


class CloseCode(IntEnum):
    """Why a connection is closed during its handshake."""

    NOT_YET = 1013
    """The node has not joined yet: try again."""
    MALFORMED = 1002
    REFUSED = 4401
    """The proof is wrong."""
    DUPLICATE = 4409
    """There is a link already that is to be kept."""


class PeerName(NamedTuple):
    """One process of a node: started again, it is another one."""

    node_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a node is, and what it proves it with."""

    name: PeerName
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    name: PeerName
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    name: PeerName
    nonce: bytes
    mac: bytes


def new_challenge(name: PeerName) -> Challenge:
    return Challenge(name, secrets.token_bytes(_NONCE_BYTES))


def new_proof(dialer: Credentials, challenge: Challenge) -> Proof:
    """The dialer's answer to a challenge of the node that it wanted to reach."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return Proof(dialer.name, nonce, _mac(dialer.secret, b"dialer", dialer.name, nonce, challenge))


def is_proven(secret: str, challenge: Challenge, proof: Proof) -> bool:
    """Whether the dialer knows the secret."""
    mac = _mac(secret, b"dialer", proof.name, proof.nonce, challenge)
    return hmac.compare_digest(mac, proof.mac)


def welcome_mac(secret: str, challenge: Challenge, proof: Proof) -> bytes:
    """What proves to the dialer that the other one knows the secret too."""
    return _mac(secret, b"dialled", proof.name, proof.nonce, challenge)


def is_welcome(secret: str, challenge: Challenge, proof: Proof, mac: bytes) -> bool:
    return hmac.compare_digest(welcome_mac(secret, challenge, proof), mac)


def encode_challenge(challenge: Challenge) -> bytes:
    return _packed([*challenge.name, challenge.nonce])


def decode_challenge(message: bytes) -> Challenge:
    """Raises `MalformedMessage`, as the other two do."""
    match _parts(message):
        case [str(node_id), str(incarnation), bytes(nonce)] if len(nonce) == _NONCE_BYTES:
            return Challenge(PeerName(node_id, incarnation), nonce)
    raise MalformedMessage("that is no challenge")


def encode_proof(proof: Proof) -> bytes:
    return _packed([*proof.name, proof.nonce, proof.mac])


def decode_proof(message: bytes) -> Proof:
    match _parts(message):
        case [str(node_id), str(incarnation), bytes(nonce), bytes(mac)] if (
            len(nonce) == _NONCE_BYTES and len(mac) == _MAC_BYTES
        ):
            return Proof(PeerName(node_id, incarnation), nonce, mac)
    raise MalformedMessage("that is no proof")


def encode_welcome(mac: bytes) -> bytes:
    return _packed([mac])


def decode_welcome(message: bytes) -> bytes:
    match _parts(message):
        case [bytes(mac)] if len(mac) == _MAC_BYTES:
            return mac
    raise MalformedMessage("that is no welcome")


def _mac(
    secret: str, maker: bytes, dialer: PeerName, dialer_nonce: bytes, challenge: Challenge
) -> bytes:
    # As msgpack, so that no two different lists of parts are the same bytes.
    said = _packed([_PURPOSE, maker, *dialer, dialer_nonce, *challenge.name, challenge.nonce])
    return hmac.digest(secret.encode("utf-8", "surrogatepass"), said, hashlib.sha256)


def _packed(parts: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(parts)
    return packed


def _parts(message: bytes) -> list[Any]:
    if len(message) > HANDSHAKE_BYTES_MAX:
        raise MalformedMessage("a message is too large for a handshake")
    return unpacked(message, array_max=4, text_max=_NAME_LENGTH_MAX)
