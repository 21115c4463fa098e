"""What a client makes of a node's answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from perdure.runtime.remote.calls import Answer, Calls
from perdure.runtime.remote.errors import (
    ApiError,
    RequestInvalid,
    ResultNotReady,
    Unauthorized,
    WorkflowExists,
    WorkflowFailed,
    WorkflowNotFinished,
    WorkflowNotFound,
    WorkflowStalled,
    api_error,
)
from perdure.runtime.remote.settings import endpoint_of
from perdure.runtime.remote.state import ListFilter, WorkflowState, moment, rfc3339, state_of
from perdure.runtime.remote.status import FailureDetails, WorkflowStatus
from perdure.runtime.remote.values import body_of, start_time_of, verbatim_body_of
from perdure.runtime.workflow.payload import PayloadError


@dataclass
class Receipt:
    order: int
    paid: bool


def completed(output: str | None) -> WorkflowState:
    return WorkflowState(
        instance_id="o1", runtime_status=WorkflowStatus.COMPLETED, serialized_output=output
    )


def test_a_state_holds_what_the_answer_says() -> None:
    state = state_of(
        {
            "instanceID": "o1",
            "workflowName": "greet",
            "createdAt": "2026-08-01T10:00:00.123456789Z",
            "lastUpdatedAt": "2026-08-01T10:00:01Z",
            "runtimeStatus": "COMPLETED",
            "properties": {
                "dapr.workflow.input": '"Ada"',
                "dapr.workflow.output": '"hi"',
                "dapr.workflow.custom_status": "",
            },
        }
    )
    assert state.name == "greet"
    assert state.created_at == datetime(2026, 8, 1, 10, 0, 0, 123456, UTC)
    assert state.runtime_status is WorkflowStatus.COMPLETED
    assert state.serialized_input == '"Ada"'
    assert state.serialized_custom_status is None
    assert state.result() == "hi"


def test_a_pending_instance_of_dapr_has_almost_no_fields() -> None:
    state = state_of(
        {
            "instanceID": "o1",
            "createdAt": "0001-01-01T00:00:00Z",
            "lastUpdatedAt": "0001-01-01T00:00:00Z",
            "runtimeStatus": "PENDING",
        }
    )
    assert (state.name, state.created_at, state.failure_details) == ("", None, None)


def test_an_entry_of_a_list_has_its_facts_beside_each_other() -> None:
    state = state_of(
        {
            "instanceID": "o1::0",
            "runtimeStatus": "STALLED",
            "customStatus": "half",
            "parentInstanceID": "o1",
            "errorType": "ValueError",
            "stalledReason": "no such version",
        }
    )
    assert state.serialized_custom_status == "half"
    assert state.parent_instance_id == "o1"
    assert state.failure_details == FailureDetails("ValueError", "")
    assert state.stalled_reason == "no such version"


def test_a_status_compares_with_its_plain_name() -> None:
    assert WorkflowStatus.SUSPENDED == "SUSPENDED"
    assert f"{WorkflowStatus.SUSPENDED}" == "SUSPENDED"


def test_a_status_that_this_release_does_not_know_is_unknown() -> None:
    assert state_of({"instanceID": "x", "runtimeStatus": "DREAMING"}).runtime_status == "UNKNOWN"


def test_a_result_is_decoded_to_the_type_that_is_asked_for() -> None:
    assert completed('{"order": 1, "paid": true}').result(Receipt) == Receipt(1, True)


def test_a_result_that_does_not_fit_the_type_names_the_field() -> None:
    with pytest.raises(PayloadError, match="paid"):
        completed('{"order": 1, "paid": 3}').result(Receipt)


def test_a_workflow_without_a_return_value_has_the_result_none() -> None:
    assert completed(None).result() is None


def test_the_result_of_a_failed_workflow_raises_with_the_reason() -> None:
    state = state_of(
        {
            "instanceID": "o1",
            "runtimeStatus": "FAILED",
            "properties": {
                "dapr.workflow.failure.error_type": "ValueError",
                "dapr.workflow.failure.error_message": "no stock",
            },
        }
    )
    with pytest.raises(WorkflowFailed, match="'o1' ended FAILED: ValueError: no stock") as caught:
        state.result()
    assert caught.value.failure_details is not None
    assert caught.value.failure_details.stack_trace is None


def test_the_result_of_a_running_workflow_says_to_wait() -> None:
    state = WorkflowState(instance_id="o1", runtime_status=WorkflowStatus.RUNNING)
    state.raise_if_failed()
    with pytest.raises(ResultNotReady, match="wait_for_workflow_completion"):
        state.result()


def test_payloads_can_be_left_out() -> None:
    state = completed("1").without_payloads()
    assert state.serialized_output is None


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (404, "ERR_INSTANCE_ID_NOT_FOUND", "unable to find …", WorkflowNotFound),
        (500, "ERR_PAUSE_WORKFLOW", "…: no such instance exists", WorkflowNotFound),
        (500, "ERR_START_WORKFLOW", "… with ID 'x' already exists", WorkflowExists),
        (500, "ERR_START_WORKFLOW", "cannot recreate workflow with ID", WorkflowExists),
        (500, "ERR_PURGE_WORKFLOW", "orchestration has not yet completed", WorkflowNotFinished),
        (500, "ERR_RAISE_EVENT_WORKFLOW", "… workflow is stalled: …", WorkflowStalled),
        (400, "ERR_INSTANCE_ID_INVALID", "…", RequestInvalid),
        (401, "", "invalid api token", Unauthorized),
        (500, "ERR_GET_WORKFLOW", "boom", ApiError),
        (418, "", "a teapot already exists", ApiError),
    ],
)
def test_errors_are_told_apart(status: int, code: str, message: str, kind: type[ApiError]) -> None:
    error = api_error(status, code, message)
    assert type(error) is kind
    assert (error.status, error.error_code, error.message) == (status, code, message)


def test_an_answer_of_some_other_server_is_an_error_too() -> None:
    call = Calls().get("o1")
    with pytest.raises(ApiError, match=r"<html>nginx</html> \(HTTP 502\)"):
        call.read(Answer(502, {}, b"<html>nginx</html>"))
    with pytest.raises(ApiError, match="is this a perdure node"):
        call.read(Answer(200, {}, b"<html>hello</html>"))


def test_names_and_ids_are_escaped_in_paths() -> None:
    calls = Calls()
    assert calls.pause("a/b?c:1").request.target == "/v1.0/workflows/dapr/a%2Fb%3Fc%3A1/pause"
    raised = calls.raise_event("o1", "paid é", None, key="k").request.target
    assert raised == "/v1.0/workflows/dapr/o1/raiseEvent/paid%20%C3%A9"


def test_an_empty_id_is_refused_before_it_becomes_another_request() -> None:
    with pytest.raises(ValueError, match="the instance id must be a text that is not empty"):
        Calls().get("")


def test_the_start_time_is_sent_in_utc() -> None:
    start_at = datetime(2026, 8, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    call = Calls().start("greet", None, instance_id=None, start_at=start_at, key="k")
    assert call.request.target.endswith("/start?startTime=2026-08-01T10%3A00%3A00Z")
    assert moment(rfc3339(start_at)) == start_at


def test_a_filter_becomes_a_query() -> None:
    chosen = ListFilter(
        statuses=("RUNNING", "FAILED"), name="greet", prefix="o", newest_first=False, page_size=5
    )
    target = Calls().page(chosen, "abc").request.target
    assert target == (
        "/v1.0/workflows/dapr?status=RUNNING%2CFAILED&name=greet&prefix=o"
        "&order=asc&limit=5&cursor=abc"
    )


def test_inputs_become_json_and_raw_ones_stay_as_they_are() -> None:
    assert body_of({"a": 1}, "input") == b'{"a":1}'
    assert body_of(None, "input") is None
    assert body_of(msgspec.Raw(b"[1.0]"), "input") == b"[1.0]"
    assert verbatim_body_of(b"paperclips", "input") == b"paperclips"


def test_the_old_clients_start_time_is_an_option() -> None:
    assert start_time_of(None) is None
    found = start_time_of({"dapr.workflow.start_time": "2026-08-01T10:00:00Z"})
    assert found == datetime(2026, 8, 1, 10, tzinfo=UTC)


def test_urls_are_taken_with_and_without_a_scheme() -> None:
    assert endpoint_of("127.0.0.1:3500", None).url == "http://127.0.0.1:3500"
    assert endpoint_of("https://node/perdure/", None).url == "https://node/perdure"


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="holds no user") as caught:
        endpoint_of("http://me:secret@node", None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://node", "http://", "http://node:port", "", "http://n/?a=b"])
def test_what_is_no_url_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of a node"):
        endpoint_of(url, None)


def test_the_api_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERDURE_API_TOKEN", raising=False)
    monkeypatch.setenv("DAPR_API_TOKEN", "theirs")
    assert endpoint_of("http://node", None).headers == {"dapr-api-token": "theirs"}
    monkeypatch.setenv("PERDURE_API_TOKEN", "ours")
    assert endpoint_of("http://node", None).headers == {"dapr-api-token": "ours"}
    assert endpoint_of("http://node", "given").headers == {"dapr-api-token": "given"}
