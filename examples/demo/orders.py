"""Orders for the demo, and what must become of each: a model that knows nothing of workflows.

The same seed gives the same orders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from examples.order_processing import APPROVAL_FROM_CENTS, Line, Order

APPROVER = "Grace"
PER_SECOND = 50

_PLAIN = ["reserve_stock", "charge", "pack", "write_invoice", "tell_customer"]
_SHIPPING = ["book_courier", "is_picked_up"]
_SHARES = {
    "plain": 56,
    "flaky": 10,
    "approved": 12,
    "refused": 5,
    "unanswered": 3,
    "declined": 6,
    "sold out": 4,
    "undeliverable": 4,
}
"""What happens to orders, and how often, in percent."""


@dataclass(frozen=True)
class Expected:
    """What must be true of one order in the end."""

    outcome: str
    reason: str | None = None
    effects: frozenset[str] = frozenset()
    """What it has caused in the world outside, each exactly once."""
    activities: frozenset[str] = frozenset()
    """Which activities have run, of the order and of its shipment."""
    sold: dict[str, int] = field(default_factory=dict)
    """What is missing in the warehouse because of it."""
    paid_cents: int = 0


@dataclass(frozen=True)
class Case:
    order: Order
    kind: str
    expected: Expected

    @property
    def approval(self) -> bool | None:
        """What the approver says, if anybody asks and somebody answers."""
        return {"approved": True, "refused": False}.get(self.kind)


def cases(number: int, seed: int) -> list[Case]:
    random = Random(seed)
    # Every kind is there in its share, however few orders there are; chance only mixes them.
    kinds = [kind for kind, share in _SHARES.items() for _ in range(max(1, number * share // 100))]
    kinds += ["plain"] * (number - len(kinds))
    kinds = kinds[:number]
    random.shuffle(kinds)
    return [_case(f"order-{n:04}", kind, random) for n, kind in enumerate(kinds, 1)]


def _case(order_id: str, kind: str, random: Random) -> Case:
    lines = [Line("paperclips", random.randint(1, 50), 5), Line("stapler", 1, 1_250)]
    if kind in ("approved", "refused", "unanswered"):
        lines.append(Line("desk", random.randint(2, 4), APPROVAL_FROM_CENTS // 2))
    if kind == "sold out":
        lines.append(Line("unicorn", 1, 9_900))
    prefix = {"flaky": "flaky-", "declined": "declined-"}.get(kind, "")
    order = Order(
        order_id=order_id,
        customer=random.choice(["Ada", "Alan", "Barbara", "Edsger", "Hedy"]),
        card=f"{prefix}{random.randrange(10**15, 10**16)}",
        address="1 Harbour Street, Atlantis" if kind == "undeliverable" else "221b Baker Street",
        lines=lines,
        approve_within=timedelta(seconds=2 if kind == "unanswered" else 600),
    )
    return Case(order, kind, _expected(order, kind))


def _expected(order: Order, kind: str) -> Expected:
    if kind == "sold out":
        return _rejected("there are not 1 of 'unicorn'", reserved=False)
    if kind == "refused":
        return _rejected(f"refused by {APPROVER}")
    if kind == "unanswered":
        return _rejected("nobody approved it in time")
    if kind == "declined":
        declined = _rejected(f"the bank declined card '{order.card}'")
        return Expected(
            declined.outcome,
            declined.reason,
            declined.effects,
            declined.activities | {"charge"},
        )
    if kind == "undeliverable":
        undone = {"refunded", "invoice cancelled", "released"}
        return Expected(
            "compensated",
            f"nobody delivers to '{order.address}'",
            frozenset({"reserved", "charged", "packed", "invoiced", "mailed", *undone}),
            frozenset({*_PLAIN, "book_courier", "refund", "void_invoice", "release_stock"}),
        )
    return Expected(
        "completed",
        None,
        frozenset({"reserved", "charged", "packed", "invoiced", "courier ordered", "mailed"}),
        frozenset({*_PLAIN, *_SHIPPING}),
        sold={line.sku: line.quantity for line in order.lines},
        paid_cents=sum(line.quantity * line.cents for line in order.lines),
    )


def _rejected(reason: str, *, reserved: bool = True) -> Expected:
    if not reserved:
        tried = frozenset({"reserve_stock", "tell_customer"})
        return Expected("rejected", reason, frozenset({"mailed"}), tried)
    return Expected(
        "rejected",
        reason,
        frozenset({"reserved", "released", "mailed"}),
        frozenset({"reserve_stock", "release_stock", "tell_customer"}),
    )
