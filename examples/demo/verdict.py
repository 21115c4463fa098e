"""What the orders have come to, compared with what they must come to."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import perdure
from examples import shop
from examples.demo.orders import PER_SECOND, Case
from examples.demo.process import Cluster, Life
from examples.order_processing import Receipt

SHIPPING = "-shipping"

Effects = dict[str, Counter[str]]
"""Order id to what it has caused, and how often."""
Outcomes = Counter[str]
Call = tuple[str, int]
"""Instance id and the number of the call in its history."""


@dataclass
class Found:
    """The summary of a run. It went well if there are no `problems`."""

    outcomes: Outcomes = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    """The nodes that were asked for every order."""
    activities: Counter[str] = field(default_factory=Counter)
    """How many each node has run, repeats included."""
    calls: int = 0
    """Activity calls that the workflows made."""
    repeated: int = 0
    """Activities that ran again because the kill came before their result was stored."""
    problems: list[str] = field(default_factory=list)


async def look(cluster: Cluster, cases: Sequence[Case]) -> Found:
    """Ask every node that lives, and read what the activities have left behind."""
    found = Found()
    for node in cluster.up():
        found.asked.append(node.name)
        outcomes: Outcomes = Counter()
        async with perdure.WorkflowClient(node.url) as client:
            for case in cases:
                await _check_result(node.name, client, case, found.problems, outcomes)
            await _check_instances(node.name, client, cases, found.problems)
        found.outcomes = outcomes
    _check_books(cluster.directory, cases, found)
    _check_journals(cluster.lives(), cases, found)
    return found


async def _check_result(
    name: str,
    client: perdure.WorkflowClient,
    case: Case,
    problems: list[str],
    outcomes: Outcomes,
) -> None:
    order, expected = case.order, case.expected
    state = await client.get_workflow_state(order.order_id)
    if state is None:
        problems.append(f"{order.order_id} is unknown to {name}")
        return
    if state.runtime_status != "COMPLETED":
        problems.append(
            f"{order.order_id}, says {name}: {state.runtime_status} {state.failure_details}"
        )
        return
    receipt = state.result(Receipt)
    outcomes[receipt.outcome] += 1
    got = (receipt.outcome.value, receipt.reason, receipt.total_cents)
    wanted = (expected.outcome, expected.reason, expected.paid_cents)
    if got != wanted:
        problems.append(f"{order.order_id} ({case.kind}), says {name}: {got}, expected {wanted}")


async def _check_instances(
    name: str, client: perdure.WorkflowClient, cases: Sequence[Case], problems: list[str]
) -> None:
    """Neither an order nor a shipment has appeared twice, or by itself."""
    shipped = sum("packed" in case.expected.effects for case in cases)
    for workflow, number in (("process_order", len(cases)), ("ship_parcel", shipped)):
        counts = await client.count_workflows(perdure.ListFilter(name=workflow))
        if sum(counts.values()) != number:
            problems.append(f"{workflow}, says {name}: {dict(counts)}, expected {number}")


def _check_books(directory: Path, cases: Sequence[Case], found: Found) -> None:
    """Each effect of each order happened exactly once, and the warehouse adds up."""
    db = sqlite3.connect(directory / "shop.db")
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


def _check_journals(lives: Sequence[Life], cases: Sequence[Case], found: Found) -> None:
    """Who ran what, and that nothing ran twice but what a killed process had begun."""
    runs: dict[Call, list[Life]] = {}
    ran: dict[str, set[str]] = {}
    for life in lives:
        lines = life.journal.read_text().splitlines() if life.journal.exists() else []
        found.activities[life.name] += len(lines)
        for line in lines:
            instance_id, activity, task_id, _ = json.loads(line)
            runs.setdefault((instance_id, task_id), []).append(life)
            ran.setdefault(instance_id.removesuffix(SHIPPING), set()).add(activity)
    found.calls = len(runs)
    for (instance_id, task_id), by in runs.items():
        found.repeated += len(by) - 1
        # One run has brought the result; each other one must have died with its process.
        survivors = [life for life in by if not life.killed]
        if len(survivors) > 1 or len({life.journal for life in by}) < len(by):
            names = ", ".join(life.journal.name for life in by)
            found.problems.append(f"{instance_id}: activity {task_id} ran without need: {names}")
    for case in cases:
        activities = ran.get(case.order.order_id, set())
        if activities != case.expected.activities:
            odd = sorted(activities ^ case.expected.activities)
            found.problems.append(f"{case.order.order_id} ({case.kind}): run or not run: {odd}")


def nodes(cluster: Cluster, found: Found, answered_by: Counter[str]) -> str:
    """Which node did what."""
    rows = [("", "orders accepted", "activities run", "")]
    for node in cluster.nodes:
        was_killed = any(life.killed for life in node.lives)
        fate = "drained" if node.drained else "killed and started again" if was_killed else ""
        name = node.name
        rows.append((name, str(answered_by[name]), str(found.activities[name]), fate))
    return "\n".join(["", *(f"  {a:<4}{b:>16}{c:>16}  {d}".rstrip() for a, b, c, d in rows)])


def table(found: Found, seconds: float) -> str:
    orders = found.outcomes.total()
    rows = [
        ("completed", found.outcomes["completed"]),
        ("rejected", found.outcomes["rejected"]),
        ("compensated", found.outcomes["compensated"]),
        ("activities called", found.calls),
        ("repeated, all begun by the killed process", found.repeated),
        ("nodes asked for every result", ", ".join(found.asked)),
        ("wrong, lost or doubled", len(found.problems)),
        ("seconds, faults included", f"{seconds:.1f}"),
        (f"orders per second, of {PER_SECOND} sent", f"{orders / seconds:.0f}"),
        ("activities per second", f"{found.calls / seconds:.0f}"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(f"  {name:<{width}}  {value:>8}" for name, value in rows), ""])
