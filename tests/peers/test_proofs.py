"""What proves that a node knows the secret, and what does not."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.runtime.api.peers.frames import MalformedMessage
from perdure.runtime.api.peers.handshake import (
    HANDSHAKE_BYTES_MAX,
    Challenge,
    Credentials,
    PeerName,
    Proof,
    decode_challenge,
    decode_proof,
    decode_welcome,
    encode_challenge,
    encode_proof,
    encode_welcome,
    is_proven,
    is_welcome,
    new_challenge,
    new_proof,
    welcome_mac,
)

DIALER = Credentials(PeerName("a", "a-1"), "secret")
DIALLED = PeerName("b", "b-1")
CHALLENGE = new_challenge(DIALLED)
PROOF = new_proof(DIALER, CHALLENGE)


def test_the_right_secret_is_proven_in_both_directions() -> None:
    assert is_proven("secret", CHALLENGE, PROOF)
    assert is_welcome("secret", CHALLENGE, PROOF, welcome_mac("secret", CHALLENGE, PROOF))


def test_another_secret_is_none() -> None:
    assert not is_proven("Secret", CHALLENGE, PROOF)
    assert not is_welcome("secret", CHALLENGE, PROOF, welcome_mac("Secret", CHALLENGE, PROOF))


@pytest.mark.parametrize(
    ("challenge", "proof"),
    [
        (new_challenge(DIALLED), PROOF),
        (replace(CHALLENGE, name=PeerName("c", "b-1")), PROOF),
        (replace(CHALLENGE, name=PeerName("b", "b-2")), PROOF),
        (CHALLENGE, replace(PROOF, name=PeerName("c", "a-1"))),
        (CHALLENGE, replace(PROOF, name=PeerName("a", "a-2"))),
        (CHALLENGE, replace(PROOF, name=PeerName("aa", "-1"))),
        (CHALLENGE, replace(PROOF, nonce=bytes(32))),
        (CHALLENGE, replace(PROOF, mac=bytes(32))),
    ],
)
def test_a_proof_is_good_for_nothing_else(challenge: Challenge, proof: Proof) -> None:
    assert not is_proven("secret", challenge, proof)
    welcome = welcome_mac("secret", CHALLENGE, PROOF)
    if proof.mac == PROOF.mac:  # The welcome covers what the proof covers.
        assert not is_welcome("secret", challenge, proof, welcome)


def test_a_proof_sent_back_is_no_welcome() -> None:
    assert not is_welcome("secret", CHALLENGE, PROOF, PROOF.mac)


def test_no_two_challenges_or_proofs_are_alike() -> None:
    assert new_challenge(DIALLED).nonce != CHALLENGE.nonce
    assert new_proof(DIALER, CHALLENGE).nonce != PROOF.nonce


def test_the_secret_is_in_no_message_and_no_repr() -> None:
    said = [encode_challenge(CHALLENGE), encode_proof(PROOF), repr(DIALER).encode()]
    assert not [message for message in said if b"secret" in message]


def test_the_three_messages_come_out_as_they_went_in() -> None:
    assert decode_challenge(encode_challenge(CHALLENGE)) == CHALLENGE
    assert decode_proof(encode_proof(PROOF)) == PROOF
    assert decode_welcome(encode_welcome(PROOF.mac)) == PROOF.mac


DECODERS = (decode_challenge, decode_proof, decode_welcome)
PARTS = st.lists(st.text() | st.binary() | st.integers(0, 9) | st.none(), max_size=6)


@given(st.binary() | PARTS.map(msgpack.packb))
def test_arbitrary_messages_raise_nothing_but_the_one_error(message: bytes) -> None:
    for decode in DECODERS:
        with pytest.raises(MalformedMessage):
            decode(message)


@pytest.mark.parametrize(
    "message",
    [
        msgpack.packb(["a" * 513, "a-1", bytes(32), bytes(32)]),
        msgpack.packb(["a", "a-1", bytes(31), bytes(32)]),
        msgpack.packb(["a", "a-1", bytes(32), bytes(33)]),
        msgpack.packb([b"a", b"a-1", bytes(32), bytes(32)]),
        msgpack.packb(["a", "a-1", bytes(HANDSHAKE_BYTES_MAX), bytes(32)]),
    ],
)
def test_a_proof_of_other_sizes_is_refused(message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_proof(message)
