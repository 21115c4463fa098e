"""`perdure workflow history`: what a person has to see of a call at once."""

from __future__ import annotations

import msgspec
import pytest

from perdure.runtime.api import render
from perdure.runtime.workflow import history as h
from tests.cli.conftest import Perdure, Scripted
from tests.support.http_service import FakeWorkflows

LONG = f'"{"x" * 200}"'


@pytest.mark.parametrize(
    ("call", "begins"),
    [
        (
            h.TaskScheduled(1, "charge", LONG, "e-1", app_id="bank", propagation=1),
            "name=charge appId=bank historyPropagationScope=OWN_HISTORY",
        ),
        (
            h.ChildWorkflowInstanceCreated(2, "c", "ship", LONG, rerun_of="o0"),
            'name=ship rerunParentInstanceInfo={"instanceID": "o0"}',
        ),
    ],
)
def test_whose_code_is_called_comes_before_what_it_is_given(
    node: Scripted, perdure: Perdure, call: h.Outgoing, begins: str
) -> None:
    row = FakeWorkflows().new_row("o1", h.Status.RUNNING)
    *_, shown = render.events(row, [h.Turn(0, (), (call,))])
    document = msgspec.json.decode(msgspec.json.encode(shown))
    node.answers(200, {"instanceID": "o1", "events": [document]})
    line = perdure("workflow", "history", "o1").stdout.splitlines()[-1]
    assert f" {begins}" in line
