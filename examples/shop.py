"""The world outside the order workflow: a warehouse, a payment provider, couriers, a post office.

They stand in for services of other people, and behave like them: now and then out of order, and
with an idempotency key in every call, so that a call that is made twice has its effect once. What
they know is in `shop.db` (in SHOP_DIR, or here). SHOP_JOURNAL may name a file to note each call in.

How a call ends is decided by its data alone, so that whoever knows the orders knows the results:
a card `declined-…` is declined, a card `flaky-…` makes the provider fail twice before it works,
nobody delivers to Atlantis, and there are no unicorns in stock.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

STOCK = {"paperclips": 100_000, "stapler": 100_000, "desk": 100_000, "unicorn": 0}
PROVIDER_FAILURES = 2

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, available INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS effects
        (key TEXT PRIMARY KEY, kind TEXT NOT NULL, order_id TEXT NOT NULL, cents INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS failures (key TEXT PRIMARY KEY, seen INTEGER NOT NULL);
"""


class OutOfStock(Exception):
    """There is less than was asked for; asking again does not make it more."""


class CardDeclined(Exception):
    """The bank says no, and would say it again."""


class ProviderDown(Exception):
    """The payment provider does not answer; it may in a moment."""


class NoCourier(Exception):
    """Nobody delivers to this address."""


class Caller(Protocol):
    """What a service asks of whoever calls it; `perdure.ActivityContext` has it."""

    @property
    def workflow_id(self) -> str: ...
    @property
    def activity_name(self) -> str: ...
    @property
    def task_id(self) -> int: ...
    @property
    def task_execution_id(self) -> str: ...


def take_stock(caller: Caller, order_id: str, lines: dict[str, int]) -> str:
    """Reserve what `lines` say, all or nothing; returns the number of the reservation."""
    with _call(caller) as db:
        if _is_new(db, caller, "reserved", order_id):
            for sku, quantity in lines.items():
                taken = db.execute(
                    "UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?",
                    (quantity, sku, quantity),
                )
                if taken.rowcount == 0:
                    raise OutOfStock(f"there are not {quantity} of '{sku}'")
    return f"R-{order_id}"


def return_stock(caller: Caller, order_id: str, lines: dict[str, int]) -> None:
    with _call(caller) as db:
        if _is_new(db, caller, "released", order_id):
            db.executemany(
                "UPDATE stock SET available = available + ? WHERE sku = ?",
                [(quantity, sku) for sku, quantity in lines.items()],
            )


def charge_card(caller: Caller, order_id: str, card: str, cents: int) -> str:
    """Take the money; returns the number of the payment."""
    with _call(caller) as db:
        refusal = _refusal(db, caller, card)
        if refusal is None:
            _is_new(db, caller, "charged", order_id, cents)
    if refusal is not None:
        raise refusal
    return f"P-{order_id}"


def give_back(caller: Caller, order_id: str, cents: int) -> None:
    with _call(caller) as db:
        _is_new(db, caller, "refunded", order_id, cents)


def print_invoice(caller: Caller, order_id: str, cents: int) -> str:
    """Returns the number of the invoice."""
    with _call(caller) as db:
        _is_new(db, caller, "invoiced", order_id, cents)
    return f"I-{order_id}"


def cancel_invoice(caller: Caller, order_id: str) -> None:
    with _call(caller) as db:
        _is_new(db, caller, "invoice cancelled", order_id)


def put_into_box(caller: Caller, order_id: str) -> str:
    """Returns the number of the parcel."""
    with _call(caller) as db:
        _is_new(db, caller, "packed", order_id)
    return f"B-{order_id}"


def order_courier(caller: Caller, order_id: str, address: str) -> str:
    """Returns the tracking number."""
    with _call(caller) as db:
        if "Atlantis" in address:
            raise NoCourier(f"nobody delivers to '{address}'")
        _is_new(db, caller, "courier ordered", order_id)
    return f"T-{order_id}"


def has_left(caller: Caller, look: int) -> bool:
    """Whether the parcel has been picked up; the courier comes before the second look."""
    _note(caller)
    return look >= 2


def send_mail(caller: Caller, order_id: str, text: str) -> None:
    with _call(caller) as db:
        _is_new(db, caller, "mailed", order_id)


@contextmanager
def open_books() -> Iterator[sqlite3.Connection]:
    """What the services know, in one transaction."""
    directory = Path(os.environ.get("SHOP_DIR", "."))
    db = sqlite3.connect(directory / "shop.db", timeout=30, isolation_level=None)
    try:
        # What was committed survives the death of this process; no more is asked of it here.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'stock'").fetchone():
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.executemany("INSERT INTO stock VALUES (?, ?)", STOCK.items())
        with db:
            yield db
    finally:
        db.close()


@contextmanager
def _call(caller: Caller) -> Iterator[sqlite3.Connection]:
    _note(caller)
    with open_books() as db:
        yield db


def _is_new(
    db: sqlite3.Connection, caller: Caller, kind: str, order_id: str, cents: int = 0
) -> bool:
    """Note an effect under the caller's key; False if that call has had its effect already."""
    noted = db.execute(
        "INSERT OR IGNORE INTO effects VALUES (?, ?, ?, ?)",
        (caller.task_execution_id, kind, order_id, cents),
    )
    return noted.rowcount == 1


def _refusal(db: sqlite3.Connection, caller: Caller, card: str) -> Exception | None:
    """Why this card is not charged now; a failure of the provider itself is counted."""
    if card.startswith("declined-"):
        return CardDeclined(f"the bank declined card '{card}'")
    if not card.startswith("flaky-"):
        return None
    (seen,) = db.execute(
        "INSERT INTO failures VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET seen = seen + 1 "
        "RETURNING seen",
        (caller.task_execution_id,),
    ).fetchone()
    return ProviderDown("the provider does not answer") if seen <= PROVIDER_FAILURES else None


def _note(caller: Caller) -> None:
    """One line in the journal, whole or not at all: it is written by one append."""
    path = os.environ.get("SHOP_JOURNAL")
    if not path:
        return
    entry = [caller.workflow_id, caller.activity_name, caller.task_id, caller.task_execution_id]
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, json.dumps(entry).encode() + b"\n")
    finally:
        os.close(file)
