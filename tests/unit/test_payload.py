import enum
import math
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.runtime.workflow import payload
from perdure.runtime.workflow.payload import PayloadError


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Item:
    sku: str
    quantity: int = 1


@dataclass
class Order:
    items: list[Item]
    note: str | None = None
    tags: set[str] = field(default_factory=set)


@dataclass
class Invoice:
    total: int


class Struct(msgspec.Struct):
    at: datetime
    price: Decimal


class Point(NamedTuple):
    x: int
    y: float


class Address(TypedDict):
    street: str


@attrs.define
class Box:
    content: bytes


class Customer(pydantic.BaseModel):
    born: date
    score: float | None = None


class StrictCustomer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    born: date


@dataclass
class Deal:
    customer: Customer


TYPED = [
    (Order([Item("a", 2)], tags={"x"}), Order),
    (Struct(datetime(2024, 1, 2, 3, 4, 5, 6, UTC), Decimal("1.10")), Struct),
    (Point(1, 2.5), Point),
    ({"street": "Main"}, Address),
    (Box(b"\x00\xff"), Box),
    (Customer(born=date(2000, 1, 1)), Customer),
    (StrictCustomer(born=date(2000, 1, 1)), StrictCustomer),
    (Deal(Customer(born=date(2000, 1, 1), score=0.5)), Deal),
    ([Customer(born=date(2000, 1, 1))], list[Customer]),
    (Customer(born=date(2000, 1, 1)), Customer | None),
    (Colour.RED, Colour),
    (Level.HIGH, Level),
    (uuid.UUID(int=7), uuid.UUID),
    (timedelta(seconds=1.5), timedelta),
    (date(2024, 2, 29), date),
    (b"bytes", bytes),
    ((1, "a"), tuple[int, str]),
    ({3: Item("b")}, dict[int, Item]),
    (frozenset({1, 2}), frozenset[int]),
    (Item("c"), Item | str),
    ("text", Item | str),
    (SimpleNamespace(a=1), SimpleNamespace),
    (2**80, int),
    (Path("/a/b"), Path),
    ({"k": Path("c")}, dict[str, PurePosixPath | None]),
    (OrderedDict(a=1), dict[str, int]),
    (MappingProxyType({"a": 1}), dict[str, int]),
]


@pytest.mark.parametrize(("value", "hint"), TYPED, ids=lambda it: repr(it)[:30])
def test_a_typed_value_comes_back_as_it_was(value: Any, hint: Any) -> None:
    assert payload.decode(payload.encode(value), hint) == value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates are no text that could be stored.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(json_values)
def test_plain_values_come_back_without_a_hint(value: Any) -> None:
    assert payload.decode(payload.encode(value)) == value


@pytest.mark.parametrize("hint", [Any, int, Order, str | None])
def test_no_value_is_no_payload_whatever_the_hint(hint: Any) -> None:
    assert payload.encode(None) is None
    assert payload.decode(None, hint) is None
    assert payload.decode("null", hint) is None


@pytest.mark.parametrize("hint", [Any, None, int | None, object])
def test_a_hint_may_allow_for_no_value(hint: Any) -> None:
    assert payload.takes_none(hint)


@pytest.mark.parametrize("hint", [int, str, list[int], datetime, uuid.UUID])
def test_a_hint_may_ask_for_a_value(hint: Any) -> None:
    assert not payload.takes_none(hint)


def test_a_typed_value_without_a_hint_is_plain_json() -> None:
    text = payload.encode(Order([Item("a")]))
    assert payload.decode(text) == {
        "items": [{"sku": "a", "quantity": 1}],
        "note": None,
        "tags": [],
    }


@pytest.mark.parametrize(
    ("text", "hint", "message"),
    [
        (
            '{"items": [{"sku": 5}]}',
            Order,
            "input of activity 'charge' does not fit Order: at items[0].sku: "
            "Expected `str`, got `int`",
        ),
        ("{}", Order, "does not fit Order: Object missing required field `items`"),
        ('["a"]', list[int], r"does not fit list[int]: at [0]: Expected `int`, got `str`"),
        ('"1"', int, "does not fit int: Expected `int`, got `str`"),
        ('"blue"', Colour, "Invalid enum value 'blue'"),
        ('{"born": "never"}', Customer, "does not fit Customer: at born: Input should be a valid"),
        ('{"customer": {"born": 1.5}}', Deal, "does not fit Deal: at customer: born: "),
        ("[", Any, "input of activity 'charge' is not JSON text: Input data was truncated"),
        ("NaN", Any, "is not JSON text"),
        ("{}", type, "JSON cannot become type"),
    ],
)
def test_a_misfit_names_the_function_the_field_and_both_types(
    text: str, hint: Any, message: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        payload.decode(text, hint, "input of activity 'charge'")
    assert message in str(caught.value)
    assert str(caught.value).startswith("input of activity 'charge'")


class Plain:
    pass


async def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Plain(), "found tests.unit.test_payload.Plain; use a dict, list"),
        ({"a": [object()]}, "found object; use a dict"),
        (math.nan, "no number for NaN"),
        ([None, {"a": math.inf}], "no number for NaN and infinity"),
        (Item("x", math.nan), "no number for NaN"),  # type: ignore[arg-type]
        ({(1, 2): 3}, "found a tuple as key"),
        ("\ud800", "lone surrogates"),
        (1j, "found complex"),
    ],
)
def test_a_value_that_json_cannot_hold_is_named(value: Any, message: str) -> None:
    with pytest.raises(PayloadError, match="result of workflow 'w' cannot be stored as JSON") as e:
        payload.encode(value, "result of workflow 'w'")
    assert message in str(e.value)


def test_a_forgotten_await_is_named() -> None:
    forgotten = nothing()
    with pytest.raises(PayloadError, match="found coroutine, which has to be awaited first"):
        payload.encode({"a": forgotten})
    forgotten.close()


def test_nesting_without_end_is_refused_both_ways() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(PayloadError, match="nested too deeply, or contains itself"):
        payload.encode(endless)
    with pytest.raises(PayloadError, match="nested too deeply"):
        payload.decode("[" * 100_000)


def test_null_in_a_text_or_beside_a_model_is_no_reason_to_refuse() -> None:
    assert payload.encode("null and void") == '"null and void"'
    assert payload.encode([Customer(born=date(2000, 1, 1)), {1: None}]) == (
        '[{"born":"2000-01-01","score":null},{"1":null}]'
    )


def test_a_hint_that_no_payload_can_fit_is_found_early() -> None:
    with pytest.raises(TypeError, match=r"input of w: .*not supported; hint one of them"):
        payload.check_hint(Order | Invoice, "input of w")
    payload.check_hint(Order | None, "input of w")


def test_a_hint_that_cannot_be_hashed_still_decodes() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

    hint = Annotated[int, Unhashable()]
    assert payload.decode("5", hint) == 5


def test_a_hint_may_read_text_in_a_way_of_its_own() -> None:
    class Shouted:
        @staticmethod
        def __from_json__(text: str) -> str:
            if text == "?":
                raise ValueError("a question")
            return text.upper()

    assert payload.decode("not json", Shouted) == "NOT JSON"
    payload.check_hint(Shouted, "input of w")
    with pytest.raises(PayloadError, match="a question"):
        payload.decode("?", Shouted)
