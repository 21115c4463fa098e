"""Which app a worker's action is for, by its router in the bytes that arrive."""

from __future__ import annotations

import pytest

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.decisions import decision_of
from perdure.runtime.workflow import history as h
from tests.rpc.frames import entry, field
from tests.rpc.test_decisions import DAPR, MICROSOFT, NEUTRAL, WORK, action, only


@pytest.mark.parametrize(
    ("router", "app_id"),
    [
        (b"", None),
        (field(9, b""), None),
        (field(9, field(1, "shop")), None),
        (field(9, field(1, "shop") + field(2, "")), None),
        (field(9, field(1, "shop") + field(2, "shop")), None),
        (field(9, field(1, "shop") + field(2, "bank")), "bank"),
        (field(9, field(2, "bank") + field(3, "ns")), "bank"),
    ],
)
def test_a_router_names_the_app_that_is_called(router: bytes, app_id: str | None) -> None:
    content = field(2, field(1, "pay") + field(5, "e"))
    assert only(action(4, content, router)) == h.TaskScheduled(4, "pay", None, "e", app_id=app_id)
    child = field(3, field(1, "c") + field(2, "ship"))
    expected = h.ChildWorkflowInstanceCreated(4, "c", "ship", None, app_id=app_id)
    assert only(action(4, child, router)) == expected
    neutral = only(action(4, content, router), NEUTRAL)
    assert isinstance(neutral, h.TaskScheduled)
    assert neutral.app_id == app_id  # Of a worker of Dapr 1.17; Microsoft's have no other meaning.


def test_a_router_to_the_nodes_own_app_calls_nobody_else() -> None:
    content = field(2, field(1, "pay") + field(5, "e"))
    raw = action(4, content, field(9, field(2, "shop")))
    response = pb.WorkflowResponse.FromString(field(1, "order-1") + raw)
    (found,) = decision_of(response, WORK, 77, DAPR, own_app="shop").outgoing
    assert found == h.TaskScheduled(4, "pay", None, "e")


def test_tags_of_microsoft_are_no_router() -> None:
    content = field(2, field(1, "pay") + field(4, entry("team", "bank")))
    for dialect in (NEUTRAL, MICROSOFT):
        found = only(action(4, content), dialect)
        assert isinstance(found, h.TaskScheduled)
        assert found.app_id is None


def test_a_router_inside_of_the_task_is_read_in_daprs_dialect() -> None:
    content = field(2, field(1, "pay") + field(4, field(2, "bank")) + field(5, "e"))
    found = only(action(4, content))
    assert isinstance(found, h.TaskScheduled)
    assert found.app_id == "bank"
