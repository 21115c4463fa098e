"""The wire by hand, so that what is expected does not come from the code under test."""

from __future__ import annotations

Content = int | str | bytes


def varint(number: int) -> bytes:
    number &= 2**64 - 1  # Negative ones are written as 64 bits.
    made = b""
    while number > 0x7F:
        made += bytes([number & 0x7F | 0x80])
        number >>= 7
    return made + bytes([number])


def field(number: int, content: Content) -> bytes:
    """A field as it stands in a message: a number as varint, all else by its length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def text(number: int, content: str) -> bytes:
    """A field of type `StringValue`."""
    return field(number, field(1, content))


def time(number: int, seconds: int, nanos: int = 0) -> bytes:
    return field(number, field(1, seconds) + (field(2, nanos) if nanos else b""))


def entry(key: str, value: str) -> bytes:
    """One entry of a map of texts."""
    return field(1, key) + field(2, value)
