"""The fields of every message that some stubs know, as one JSON object.

python -m tests.sdk.programs.fields MODULE…
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from typing import Any

Fields = dict[str, dict[str, list[Any]]]
"""By message and number: how it stands on the wire, the type of the message, the name."""

VARINT = {3, 4, 5, 8, 13, 14}
"""Protobuf's numbers of the types that are written as varints; all others here have a length."""


def fields_of(messages: Iterable[Any]) -> Fields:
    """Of these descriptors, and of those in them."""
    found: Fields = {}
    for message in messages:
        found[message.name] = {str(field.number): _told(field) for field in message.fields}
        found |= fields_of(message.nested_types)
    return found


def _told(field: Any) -> list[Any]:
    wire = "varint" if field.type in VARINT else "length"
    of = field.message_type.name if field.message_type else ""
    return [wire, of, field.name]


def _of_file(file: Any, found: Fields) -> Fields:
    """And of those that it imports."""
    found |= fields_of(file.message_types_by_name.values())
    for other in file.dependencies:
        _of_file(other, found)
    return found


if __name__ == "__main__":
    told: Fields = {}
    for module in sys.argv[1:]:
        _of_file(importlib.import_module(module).DESCRIPTOR, told)
    print(json.dumps(told))
