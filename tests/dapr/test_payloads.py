"""What goes over the wire, and what becomes of it: to the letter as in Dapr's Python SDK."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

import perdure.dapr as wf
from perdure.runtime.dapr.wire import from_json, to_json
from tests.dapr.conftest import finished, state_of


@dataclass
class Line:
    product: str
    price: float


@dataclass
class Order:
    number: int
    lines: list[Line]


class Point(NamedTuple):
    x: int
    y: int


class Visit(BaseModel):
    day: date
    guests: int = 1


class Shape:
    """Looks like a model, and is none of pydantic's."""

    def __init__(self, sides: int) -> None:
        self.sides = sides

    def model_dump(self) -> dict[str, int]:
        return {"sides": self.sides}

    @classmethod
    def model_validate(cls, fields: dict[str, int]) -> Shape:
        return cls(**fields)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("text", '"text"'),
        ("ü", '"\\u00fc"'),
        ({"b": 1, "a": [True, None]}, '{"b": 1, "a": [true, null]}'),
        ((1, 2), "[1, 2]"),
        (Point(1, 2), '{"x": 1, "y": 2, "__durabletask_autoobject__": true}'),
        ([Point(1, 2)], "[[1, 2]]"),
        (SimpleNamespace(a=1), '{"a": 1, "__durabletask_autoobject__": true}'),
        (
            Order(1, [Line("lamp", 2.5)]),
            '{"number": 1, "lines": [{"product": "lamp", "price": 2.5}], '
            '"__durabletask_autoobject__": true}',
        ),
        ({"visit": Visit(day=date(2026, 8, 1))}, '{"visit": {"day": "2026-08-01", "guests": 1}}'),
        (Shape(3), '{"sides": 3}'),
        (2**70, "1180591620717411303424"),
    ],
)
def test_values_are_written_as_the_sdk_writes_them(value: Any, text: str | None) -> None:
    assert to_json(value) == text


def test_writing_a_namespace_leaves_it_as_it_is() -> None:
    value = SimpleNamespace(a=1)
    to_json(value)
    assert vars(value) == {"a": 1}


def test_marked_objects_become_namespaces_and_others_dicts() -> None:
    text = to_json([Order(1, [Line("lamp", 2.5)]), {"plain": True}])
    assert text is not None
    order, plain = from_json(text)
    assert order == SimpleNamespace(number=1, lines=[{"product": "lamp", "price": 2.5}])
    assert plain == {"plain": True}


def test_no_text_is_no_value() -> None:
    assert from_json("") is None
    assert from_json("null") is None


def test_payloads_go_all_the_way_through_and_back(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def through(ctx: wf.DaprWorkflowContext, order: Any) -> Any:
        order.number += 1
        back = yield ctx.call_activity(same, input=order)
        child = yield ctx.call_child_workflow(child_of, input=back)
        return [child, {"big": 2**70}]

    @runtime.workflow
    def child_of(ctx: wf.DaprWorkflowContext, order: Any) -> Any:
        assert isinstance(order, SimpleNamespace)
        return order

    @runtime.activity
    def same(ctx: wf.WorkflowActivityContext, order: Any) -> Any:
        assert isinstance(order, SimpleNamespace)
        return order

    runtime.start()
    state = finished(client, client.schedule_new_workflow(through, input=Order(1, [])))
    marked = '"lines": [], "__durabletask_autoobject__": true}'
    assert state.failure_details is None
    assert state.serialized_input == f'{{"number": 1, {marked}'
    assert (
        state.serialized_output == f'[{{"number": 2, {marked}, {{"big": 1180591620717411303424}}]'
    )


def test_a_parameter_that_asks_for_a_model_gets_one(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    seen: list[Any] = []

    @runtime.workflow
    def visits(ctx: wf.DaprWorkflowContext, visit: Visit) -> Any:
        seen.append(visit)
        seen.append((yield ctx.call_activity(optional, input=visit)))
        seen.append((yield ctx.call_activity(optional, input=None)))
        seen.append((yield ctx.call_activity(own_shape, input={"sides": 4})))
        return visit

    @runtime.activity
    def optional(ctx: wf.WorkflowActivityContext, visit: Visit | None) -> str:
        return repr(visit)

    @runtime.activity
    def own_shape(ctx: wf.WorkflowActivityContext, shape: Shape) -> int:
        return shape.sides

    runtime.start()
    instance_id = client.schedule_new_workflow(visits, input={"day": "2026-08-01"})
    assert finished(client, instance_id).serialized_output == '{"day": "2026-08-01", "guests": 1}'
    visit = Visit(day=date(2026, 8, 1))
    assert seen == [visit, repr(visit), "None", 4]


def test_an_input_that_does_not_fit_its_model_fails_the_workflow(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def visits(ctx: wf.DaprWorkflowContext, visit: Visit) -> None: ...

    runtime.start()
    for input, error in (({"day": "never"}, "ValidationError"), ("text", "TypeError")):
        state = finished(client, client.schedule_new_workflow(visits, input=input))
        assert state.runtime_status is wf.WorkflowStatus.FAILED
        assert state.failure_details is not None
        assert state.failure_details.error_type == error


def test_a_result_that_json_cannot_say_fails_what_returned_it(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def careless(ctx: wf.DaprWorkflowContext, where: str) -> Any:
        if where == "workflow":
            return object()
        return (yield ctx.call_activity(unsayable))

    @runtime.activity
    def unsayable(ctx: wf.WorkflowActivityContext) -> Any:
        return {1, 2}

    runtime.start()
    for where, error in (("workflow", "TypeError"), ("activity", "TaskFailedError")):
        state = finished(client, client.schedule_new_workflow(careless, input=where))
        assert state.failure_details is not None
        assert state.failure_details.error_type == error
        assert "is not JSON serializable" in state.failure_details.message


def test_an_input_is_left_out_for_functions_that_take_none(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def bare(ctx: wf.DaprWorkflowContext) -> Any:
        first = yield ctx.call_activity(lonely, input="ignored")
        second = yield ctx.call_activity(given)
        return [first, second]

    @runtime.activity
    def lonely(anything: wf.WorkflowActivityContext) -> str:
        return type(anything).__name__

    @runtime.activity
    def given(ctx: wf.WorkflowActivityContext, input: Any = "a default") -> Any:
        return input  # The SDK passes None, default or not.

    runtime.start()
    state = finished(client, client.schedule_new_workflow(bare, input="ignored"))
    assert state.serialized_output == '["WorkflowActivityContext", null]'


def test_the_state_shows_itself_as_the_sdk_does(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def told(ctx: wf.DaprWorkflowContext, what: str) -> Any:
        ctx.set_custom_status("plain text" if what == "text" else {"step": 1})
        if what == "failure":
            raise ValueError("no")
        return what

    runtime.start()
    text = finished(client, client.schedule_new_workflow(told, input="text", instance_id="one"))
    shown = json.loads(str(text))
    times = (shown.pop("created_at"), shown.pop("last_updated_at"))
    assert times == (str(text.created_at), str(text.last_updated_at))
    assert text.created_at is not None
    assert text.created_at.tzinfo is None
    assert shown == {
        "instance_id": "one",
        "name": "told",
        "runtime_status": "COMPLETED",
        "serialized_input": '"text"',
        "serialized_output": '"text"',
        "serialized_custom_status": "plain text",
    }
    failed = finished(client, client.schedule_new_workflow(told, input="failure"))
    assert failed.serialized_custom_status == '{"step": 1}'
    assert failed.serialized_output is None
    details = failed.to_json()["failure_details"]
    assert (details["error_type"], details["message"]) == ("ValueError", "no")
    with pytest.raises(Exception, match="ValueError: no"):
        failed.raise_if_failed()


def test_payloads_are_left_out_of_the_state_on_request(
    runtime: wf.WorkflowRuntime, client: wf.DaprWorkflowClient
) -> None:
    @runtime.workflow
    def echo(ctx: wf.DaprWorkflowContext, value: str) -> str:
        ctx.set_custom_status("here")
        return value

    runtime.start()
    instance_id = client.schedule_new_workflow(echo, input="x")
    finished(client, instance_id)
    bare = client.get_workflow_state(instance_id, fetch_payloads=False)
    started = client.wait_for_workflow_start(instance_id)
    assert bare == started
    assert bare is not None
    assert (bare.serialized_input, bare.serialized_output) == (None, None)
    assert bare.serialized_custom_status is None
    assert state_of(client, instance_id).serialized_output == '"x"'
