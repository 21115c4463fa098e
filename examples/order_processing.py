"""An order, from the shopping basket to the courier: a workflow with everything that goes wrong.

    perdure serve examples/order_processing.py
    perdure workflow run process_order --id order-1 --wait --input '{"order_id": "order-1",
        "customer": "Ada", "card": "4000", "address": "London", "lines": [
        {"sku": "stapler", "quantity": 2, "cents": 1250}]}'

The workflow decides, the activities act. The process may be killed at any point: when it is back,
each order goes on from the step that it had reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import perdure
from examples import shop

APPROVAL_FROM_CENTS = 100_000
PICKUP_LOOKS = 10

PATIENT = perdure.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(seconds=30),
    max_number_of_attempts=8,
    non_retryable_error_types=[shop.CardDeclined, shop.OutOfStock, shop.NoCourier],
)


@dataclass
class Line:
    sku: str
    quantity: int
    cents: int


@dataclass
class Order:
    order_id: str
    customer: str
    card: str
    address: str
    lines: list[Line]
    approve_within: timedelta = timedelta(hours=24)

    @property
    def total_cents(self) -> int:
        return sum(line.quantity * line.cents for line in self.lines)

    @property
    def quantities(self) -> dict[str, int]:
        return {line.sku: line.quantity for line in self.lines}


@dataclass
class Approval:
    """What the event `approval` carries."""

    approved: bool
    by: str


class Outcome(StrEnum):
    COMPLETED = "completed"
    REJECTED = "rejected"
    """Nobody has paid."""
    COMPENSATED = "compensated"
    """It failed after the payment, and everything was taken back."""


@dataclass
class Receipt:
    order_id: str
    outcome: Outcome
    reason: str | None = None
    total_cents: int = 0
    payment: str | None = None
    invoice: str | None = None
    tracking: str | None = None


@dataclass
class Shipment:
    order_id: str
    parcel: str
    address: str


class NotApproved(Exception):
    """Somebody said no, or nobody said anything in time."""


# ---- activities: each may run more than once, so each hands its key on


@perdure.activity
def reserve_stock(ctx: perdure.ActivityContext, order: Order) -> str:
    return shop.take_stock(ctx, order.order_id, order.quantities)


@perdure.activity
def release_stock(ctx: perdure.ActivityContext, order: Order) -> None:
    shop.return_stock(ctx, order.order_id, order.quantities)


@perdure.activity
def charge(ctx: perdure.ActivityContext, order: Order) -> str:
    return shop.charge_card(ctx, order.order_id, order.card, order.total_cents)


@perdure.activity
def refund(ctx: perdure.ActivityContext, order: Order) -> None:
    shop.give_back(ctx, order.order_id, order.total_cents)


@perdure.activity
async def pack(ctx: perdure.ActivityContext, order: Order) -> str:
    parcel = await asyncio.to_thread(shop.put_into_box, ctx, order.order_id)
    await asyncio.sleep(0.1 * len(order.lines))  # Tape and labels.
    return parcel


@perdure.activity
def write_invoice(ctx: perdure.ActivityContext, order: Order) -> str:
    return shop.print_invoice(ctx, order.order_id, order.total_cents)


@perdure.activity
def void_invoice(ctx: perdure.ActivityContext, order: Order) -> None:
    shop.cancel_invoice(ctx, order.order_id)


@perdure.activity
def book_courier(ctx: perdure.ActivityContext, shipment: Shipment) -> str:
    return shop.order_courier(ctx, shipment.order_id, shipment.address)


@perdure.activity
def is_picked_up(ctx: perdure.ActivityContext, look: int) -> bool:
    return shop.has_left(ctx, look)


@perdure.activity
def tell_customer(ctx: perdure.ActivityContext, receipt: Receipt) -> None:
    shop.send_mail(ctx, receipt.order_id, f"your order is {receipt.outcome}")


# ---- workflows: deterministic, no I/O, `asyncio` as usual


@perdure.workflow
async def process_order(ctx: perdure.WorkflowContext, order: Order) -> Receipt:
    undo: list[Callable[..., Any]] = []
    try:
        receipt = await _fulfil(ctx, order, undo)
    except (perdure.TaskFailedError, NotApproved) as error:
        outcome = Outcome.COMPENSATED if refund in undo else Outcome.REJECTED
        ctx.set_custom_status(f"taking back: {_cause(error)}")
        for activity in reversed(undo):
            await ctx.call_activity(activity, input=order, retry_policy=PATIENT)
        receipt = Receipt(order.order_id, outcome, reason=_cause(error))
    await ctx.call_activity(tell_customer, input=receipt, retry_policy=PATIENT)
    ctx.set_custom_status(receipt.outcome.value)
    return receipt


async def _fulfil(
    ctx: perdure.WorkflowContext, order: Order, undo: list[Callable[..., Any]]
) -> Receipt:
    """The way on which nothing goes wrong; `undo` is what to take back if something does."""
    await ctx.call_activity(reserve_stock, input=order, retry_policy=PATIENT)
    undo.append(release_stock)

    if order.total_cents >= APPROVAL_FROM_CENTS:
        ctx.set_custom_status("waiting for approval")
        await _approved(ctx, order)

    ctx.set_custom_status("charging")
    payment: str = await ctx.call_activity(charge, input=order, retry_policy=PATIENT)
    undo.append(refund)

    ctx.set_custom_status("packing")
    undo.append(void_invoice)
    parcel, invoice = await asyncio.gather(
        ctx.call_activity(pack, input=order, retry_policy=PATIENT),
        ctx.call_activity(write_invoice, input=order, retry_policy=PATIENT),
    )

    ctx.set_custom_status("shipping")
    tracking: str = await ctx.call_child_workflow(
        ship_parcel,
        input=Shipment(order.order_id, parcel, order.address),
        instance_id=f"{ctx.instance_id}-shipping",
    )
    return Receipt(
        order.order_id,
        Outcome.COMPLETED,
        total_cents=order.total_cents,
        payment=payment,
        invoice=invoice,
        tracking=tracking,
    )


async def _approved(ctx: perdure.WorkflowContext, order: Order) -> None:
    """Return once the order is approved. Waiting may take weeks: it costs a row of the database."""
    try:
        approval: Approval = await ctx.wait_for_external_event(
            "approval", timeout=order.approve_within, data_type=Approval
        )
    except TimeoutError as error:
        raise NotApproved("nobody approved it in time") from error
    if not approval.approved:
        raise NotApproved(f"refused by {approval.by}")


@perdure.workflow
async def ship_parcel(ctx: perdure.WorkflowContext, shipment: Shipment) -> str:
    tracking: str = await ctx.call_activity(book_courier, input=shipment, retry_policy=PATIENT)
    for look in range(1, PICKUP_LOOKS + 1):
        if await ctx.call_activity(is_picked_up, input=look, retry_policy=PATIENT):
            return tracking
        await asyncio.sleep(0.2)  # A durable timer: a restart does not lengthen it.
    raise TimeoutError(f"parcel {shipment.parcel} was never picked up")


def _cause(error: BaseException) -> str:
    """The message of what failed in the end, below all calls that failed because of it."""
    if not isinstance(error, perdure.TaskFailedError):
        return str(error)
    details = error.details
    while details.inner is not None:
        details = details.inner
    return details.message
