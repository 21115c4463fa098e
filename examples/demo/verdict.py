"""What the orders have come to, compared with what they must come to."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import perdure
from examples import shop
from examples.demo.orders import PER_SECOND, Case
from examples.demo.process import NodeProcess
from examples.order_processing import Receipt

SHIPPING = "-shipping"

Effects = dict[str, Counter[str]]
"""Order id to what it has caused, and how often."""


@dataclass
class Found:
    """The summary of a run. It went well if there are no `problems`."""

    outcomes: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    """Activity calls that the workflows made."""
    repeated: int = 0
    """Activities that ran again because the crash came before their result was stored."""
    problems: list[str] = field(default_factory=list)


async def look(node: NodeProcess, cases: Sequence[Case]) -> Found:
    found = Found()
    async with perdure.WorkflowClient(node.url) as client:
        for case in cases:
            await _check_result(client, case, found)
        await _check_instances(client, cases, found)
    _check_books(node, cases, found)
    _check_journal(node, cases, found)
    return found


async def _check_result(client: perdure.WorkflowClient, case: Case, found: Found) -> None:
    order, expected = case.order, case.expected
    state = await client.get_workflow(order.order_id)
    if state.runtime_status != "COMPLETED":
        found.problems.append(f"{order.order_id}: {state.runtime_status} {state.failure_details}")
        return
    receipt = state.result(Receipt)
    found.outcomes[receipt.outcome] += 1
    got = (receipt.outcome.value, receipt.reason, receipt.total_cents)
    wanted = (expected.outcome, expected.reason, expected.paid_cents)
    if got != wanted:
        found.problems.append(f"{order.order_id} ({case.kind}): {got}, expected {wanted}")


async def _check_instances(
    client: perdure.WorkflowClient, cases: Sequence[Case], found: Found
) -> None:
    """Neither an order nor a shipment has appeared twice, or by itself."""
    shipped = sum("packed" in case.expected.effects for case in cases)
    for name, number in (("process_order", len(cases)), ("ship_parcel", shipped)):
        counts = await client.count_workflows(perdure.ListFilter(name=name))
        if sum(counts.values()) != number:
            found.problems.append(f"{name}: {dict(counts)} instances, expected {number}")


def _check_books(node: NodeProcess, cases: Sequence[Case], found: Found) -> None:
    """Each effect of each order happened exactly once, and the warehouse adds up."""
    db = sqlite3.connect(node.directory / "shop.db")
    effects: Effects = {}
    paid: Counter[str] = Counter()
    for kind, order_id, cents in db.execute("SELECT kind, order_id, cents FROM effects"):
        effects.setdefault(order_id, Counter())[kind] += 1
        paid[order_id] += {"charged": cents, "refunded": -cents}.get(kind, 0)
    stock = dict(db.execute("SELECT sku, available FROM stock"))
    db.close()

    left = Counter(shop.STOCK)
    for case in cases:
        order_id, expected = case.order.order_id, case.expected
        left.subtract(expected.sold)
        caused = effects.pop(order_id, Counter())
        if caused != Counter(expected.effects):
            found.problems.append(f"{order_id} ({case.kind}) caused {dict(caused)}")
        if paid[order_id] != expected.paid_cents:
            found.problems.append(f"{order_id} ({case.kind}) has paid {paid[order_id]} cents")
    found.problems.extend(f"{order_id} was never ordered" for order_id in effects)
    if stock != dict(left):
        found.problems.append(f"the warehouse has {stock}, expected {dict(left)}")


def _check_journal(node: NodeProcess, cases: Sequence[Case], found: Found) -> None:
    runs: Counter[tuple[str, int]] = Counter()
    ran: dict[str, set[str]] = {}
    for line in node.journal.read_text().splitlines():
        instance_id, activity, task_id, _ = json.loads(line)
        runs[instance_id, task_id] += 1
        ran.setdefault(instance_id.removesuffix(SHIPPING), set()).add(activity)
    found.calls = len(runs)
    found.repeated = runs.total() - len(runs)
    for case in cases:
        activities = ran.get(case.order.order_id, set())
        if activities != case.expected.activities:
            odd = sorted(activities ^ case.expected.activities)
            found.problems.append(f"{case.order.order_id} ({case.kind}): run or not run: {odd}")


def table(found: Found, seconds: float) -> str:
    orders = found.outcomes.total()
    rows = [
        ("completed", found.outcomes["completed"]),
        ("rejected", found.outcomes["rejected"]),
        ("compensated", found.outcomes["compensated"]),
        ("activities called", found.calls),
        ("activities repeated by the crash", found.repeated),
        ("wrong, lost or doubled", len(found.problems)),
        ("seconds, crash included", f"{seconds:.1f}"),
        (f"orders per second, of {PER_SECOND} sent", f"{orders / seconds:.0f}"),
        ("activities per second", f"{found.calls / seconds:.0f}"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(f"  {name:<{width}}  {value:>8}" for name, value in rows), ""])
