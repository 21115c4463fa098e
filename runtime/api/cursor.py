"""Opaque cursors of the list operation. A value module.

A cursor names the last key of a page and the query that it belongs to, so that a cursor of another
query is refused instead of silently skipping rows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import replace

from perdure.runtime.api.parsing import bad_request, shown
from perdure.runtime.workflow.records import ListQuery

_FORM = struct.Struct(">Bq8s")
_VERSION = 1


def at(query: ListQuery, key: int) -> str:
    """The cursor of a page of `query` that ends at `key`."""
    packed = _FORM.pack(_VERSION, key, _fingerprint(query))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def after(query: ListQuery, cursor: str) -> ListQuery:
    """`query`, going on where the page that gave `cursor` ended."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, key, fingerprint = _FORM.unpack(packed)
    except (binascii.Error, ValueError, struct.error):
        raise bad_request("cursor", f"{shown(cursor)} is no cursor that a list gave") from None
    if version != _VERSION or fingerprint != _fingerprint(query):
        raise bad_request("cursor", "it belongs to another query; repeat that query's parameters")
    return replace(query, after_key=int(key))


def _fingerprint(query: ListQuery) -> bytes:
    content = (
        [int(status) for status in query.statuses],
        query.name,
        query.created_from_us,
        query.created_before_us,
        query.id_prefix,
        query.newest_first,
    )
    return hashlib.blake2b(repr(content).encode(), digest_size=8).digest()
