"""The bytes of a gRPC request, for a client that says nothing more once it has sent them.

gRPC's own client answers pings and takes note of goodbyes by itself, whatever its user does.
"""

from __future__ import annotations

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


def request_by_hand(path: str, message: bytes = b"") -> bytes:
    """One call, from the beginning of its connection to the end of its request."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    fields = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in headers.items())
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, fields)
        + _frame(_DATA, _END_STREAM, 1, b"\0" + len(message).to_bytes(4) + message)
    )


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def _literal(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
