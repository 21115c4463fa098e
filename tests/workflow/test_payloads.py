"""Typed payloads: what goes in as a value comes out as that value at every door."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

import perdure
from perdure import WorkflowContext
from perdure.runtime.workflow.payload import PayloadError
from tests.support.world import World


class Colour(Enum):
    RED = "red"


@dataclass
class Item:
    name: str
    price: Decimal


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Address(TypedDict):
    street: str


@attrs.define
class Crate:
    items: list[Item]


class Customer(pydantic.BaseModel):
    name: str
    since: date


class Pair(NamedTuple):
    left: int
    right: str


class Everything(msgspec.Struct):
    when: datetime
    span: timedelta
    id: UUID
    amount: Decimal
    colour: Colour
    raw: bytes
    maybe: Point | None = None


VALUES: dict[str, tuple[Any, Any]] = {
    "dataclass": (Item, Item("nut", Decimal("1.10"))),
    "struct": (Point, Point(1)),
    "typed dict": (Address, Address(street="main")),
    "attrs": (Crate, Crate([Item("nut", Decimal("1"))])),
    "pydantic": (Customer, Customer(name="ada", since=date(2020, 1, 2))),
    "named tuple": (Pair, Pair(1, "b")),
    "datetime": (datetime, datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)),
    "timedelta": (timedelta, timedelta(days=1, microseconds=3)),
    "uuid": (UUID, UUID("12345678-1234-5678-1234-567812345678")),
    "decimal": (Decimal, Decimal("0.1000")),
    "enum": (Colour, Colour.RED),
    "bytes": (bytes, b"\x00\xff"),
    "list": (list[Item], [Item("a", Decimal("1")), Item("b", Decimal("2"))]),
    "dict": (dict[str, Point], {"a": Point(1, 2)}),
    "set": (set[int], {1, 2, 3}),
    "optional": (Point | None, None),
    "everything": (
        Everything,
        Everything(
            datetime(2026, 1, 1, tzinfo=UTC),
            timedelta(hours=1),
            UUID(int=5),
            Decimal("2.50"),
            Colour.RED,
            b"raw",
            Point(3, 4),
        ),
    ),
}


@pytest.mark.parametrize("kind", VALUES)
async def test_a_value_keeps_its_type_from_door_to_door(world: World, kind: str) -> None:
    """Through the input of a workflow, an activity and a child, their results, and an event."""
    hint, value = VALUES[kind]
    seen: list[Any] = []

    def note(found: Any) -> Any:
        seen.append(found)
        return found

    def activity(found):  # type: ignore[no-untyped-def]
        return note(found)

    async def child(ctx, found):  # type: ignore[no-untyped-def]
        return note(found)

    async def parent(ctx, found):  # type: ignore[no-untyped-def]
        note(found)
        note(await ctx.call_activity("work", input=found))
        note(await ctx.call_child_workflow("child", input=found))
        return note(await ctx.wait_for_external_event("value", data_type=hint))

    for fn in (activity, child, parent):
        fn.__annotations__ = {"found": hint, "return": hint}
    await world.serve(
        perdure.activity(name="work")(activity),
        perdure.workflow(name="child")(child),
        perdure.workflow(name="parent")(parent),
    )
    instance = await world.start("parent", value)
    await instance.raise_event("value", value)
    await instance.result()
    assert len(seen) >= 6
    for found in seen:
        assert found == value
        assert type(found) is type(value)


async def test_values_without_hints_are_plain_json(world: World) -> None:
    @perdure.activity
    def kinds(value):  # type: ignore[no-untyped-def]
        return [type(value).__name__, value]

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> list[Any]:
        sent = [Item("nut", Decimal("1.1")), Point(1), b"raw", Colour.RED, (1, 2)]
        return [await ctx.call_activity("kinds", input=each) for each in sent]

    await world.serve(order, kinds)
    assert await (await world.start("order")).result() == [
        ["dict", {"name": "nut", "price": "1.1"}],
        ["dict", {"x": 1, "y": 0}],
        ["str", base64.b64encode(b"raw").decode()],
        ["str", "red"],
        ["list", [1, 2]],
    ]


async def test_an_input_that_does_not_fit_names_the_field(world: World) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext, crate: Crate) -> None: ...

    await world.serve(order)
    instance = await world.start("order", {"items": [{"name": "nut", "price": []}]})
    failure = await instance.failure()
    assert failure.error_type == "PayloadError"
    assert failure.message == (
        "input of workflow 'order' does not fit Crate: at items[0].price: "
        "Expected `decimal`, got `array`"
    )


async def test_a_result_that_does_not_fit_its_hint_is_raised_at_the_call(world: World) -> None:
    @perdure.activity
    def gives() -> Point:
        return {"x": "one"}  # type: ignore[return-value]

    @perdure.workflow
    async def order(ctx: WorkflowContext) -> str:
        try:
            await ctx.call_activity(gives)
        except Exception as error:
            return str(error)
        return ""

    await world.serve(order, gives)
    assert await (await world.start("order")).result() == (
        "result of 'gives' does not fit Point: at x: Expected `int`, got `str`"
    )


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), {1, object()}, lambda: None, "\ud800", {(1, 2): 3}],
    ids=["object", "nan", "set of objects", "function", "surrogate", "tuple as key"],
)
async def test_a_workflow_that_returns_what_is_no_json_has_failed(live: World, value: Any) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return value

    await live.serve(order)
    failure = await (await live.start("order")).failure()
    assert failure.error_type == "PayloadError"
    assert failure.message.startswith("result of workflow 'order' cannot be stored as JSON")


async def test_text_of_every_kind_arrives_unchanged(world: World) -> None:
    text = 'ä\u0000\U0001f600\u2028 "quoted" \\ </script> ' + "x" * 10_000

    @perdure.activity
    def echo(text: str) -> str:
        return text

    @perdure.workflow
    async def order(ctx: WorkflowContext, text: str) -> str:
        return str(await ctx.call_activity(echo, input=text))

    await world.serve(order, echo)
    assert await (await world.start("order", text)).result() == text


async def test_a_caller_s_text_that_cannot_be_stored_is_refused_and_harms_nobody(
    live: World,
) -> None:
    @perdure.workflow
    async def order(ctx: WorkflowContext) -> Any:
        return await ctx.wait_for_external_event("go")

    await live.serve(order)
    instance = await live.start("order")
    service, bad = live.service, "\udcff"
    for refused in (
        service.start("order", instance_id=bad),
        service.start("order", bad),
        service.raise_event(instance.id, bad),
        service.raise_event(instance.id, "go", "1", idempotency_key=bad),
        service.suspend(instance.id, bad),
        service.terminate(instance.id, bad),
    ):
        with pytest.raises(PayloadError, match="cannot be stored"):
            await refused
    await instance.raise_event("go", "fine")
    assert await instance.result() == "fine"
