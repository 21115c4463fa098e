import pytest

from perdure.runtime.workflow import failure as f
from perdure.runtime.workflow.codec import decode_failure, encode_failure
from perdure.runtime.workflow.errors import InstanceExists
from perdure.runtime.workflow.history import Failure
from perdure.runtime.workflow.payload import PayloadError, decode


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_an_exception_becomes_its_class_name_its_text_and_its_frames() -> None:
    failure = f.failure_of(raised(ValueError("boom")))
    assert (failure.error_type, failure.message) == ("ValueError", "boom")
    assert failure.stack_trace is not None
    assert "raise error from cause" in failure.stack_trace
    assert not failure.non_retryable


def test_frames_of_the_engine_are_left_out() -> None:
    with pytest.raises(PayloadError) as caught:
        decode("x")
    stack = f.failure_of(caught.value).stack_trace
    assert stack is not None
    assert "test_failure.py" in stack
    assert "payload.py" not in stack


def test_no_stack_is_stored_where_there_is_none_or_none_is_wanted() -> None:
    assert f.failure_of(ValueError("never raised")).stack_trace is None
    assert f.failure_of(raised(ValueError("boom")), with_stack=False).stack_trace is None


def test_the_cause_is_the_inner_failure_down_to_a_bounded_depth() -> None:
    error: Exception = ValueError("0")
    for number in range(1, 30):
        error = raised(RuntimeError(str(number)), error)
    failure: Failure | None = f.failure_of(error)
    messages = []
    while failure is not None:
        messages.append(failure.message)
        failure = failure.inner
    assert messages == [str(number) for number in range(29, 29 - f.DEPTH_MAX, -1)]


def test_an_uncaught_failed_task_keeps_what_the_task_told() -> None:
    details = Failure("Declined", "no money", inner=Failure("KeyError", "'card'"))
    failure = f.failure_of(f.activity_failed("w1", 3, details))
    assert failure.error_type == "TaskFailedError"
    assert failure.message == "w1: Activity task #3 failed: no money"
    assert failure.inner == details


def test_failures_that_travel_up_many_workflows_stay_bounded() -> None:
    failure = Failure("ValueError", "first")
    for _ in range(30):
        failure = f.failure_of(f.child_failed("w", 1, failure))
    depth, inner = 0, failure.inner
    while inner is not None:
        depth, inner = depth + 1, inner.inner
    assert depth == f.DEPTH_MAX - 1


def test_a_group_tells_what_its_first_member_was() -> None:
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("a"), KeyError("b")])
    failure = f.failure_of(group)
    assert failure.error_type == "ExceptionGroup"
    assert failure.inner == Failure("ValueError", "a")


@pytest.mark.parametrize("error", [f.NonRetryableError("stop"), PayloadError("unfit")])
def test_an_error_that_no_repeat_can_mend_is_marked(error: Exception) -> None:
    assert f.failure_of(error).non_retryable


class Rude(Exception):
    def __str__(self) -> str:
        raise ValueError("no text today")


@pytest.mark.parametrize(
    "error",
    [Rude(), ValueError("\ud800"), ValueError("x" * 1_000_000), ValueError(), KeyError("k")],
    ids=["str() raises", "surrogate", "long", "empty", "key"],
)
def test_every_failure_can_be_stored_and_is_bounded(error: Exception) -> None:
    failure = f.failure_of(raised(error))
    blob = encode_failure(failure)
    assert decode_failure(blob) == failure
    assert len(blob) < 4 * (f.MESSAGE_CHARS_MAX + f.STACK_CHARS_MAX)


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    message = f.failure_of(ValueError("begin" + "x" * 20_000 + "end")).message
    assert message.startswith("begin")
    assert message.endswith("end")
    assert "characters left out" in message


def test_a_failed_task_tells_its_details() -> None:
    details = Failure("ValueError", "boom", "  File ...", Failure("KeyError", "'a'"))
    error = f.TaskFailedError("w: Activity task #1 failed: boom", details)
    assert str(error) == "w: Activity task #1 failed: boom"
    assert error.details.message == "boom"
    assert error.details.error_type == "ValueError"
    assert error.details.stack_trace == "  File ..."
    assert error.details.inner == Failure("KeyError", "'a'")


def test_a_terminated_child_fails_its_caller_without_details() -> None:
    error = f.child_failed("w", 2, None)
    assert error.details.error_type == ""
    assert str(error) == "w: Child workflow task #2 failed: the child workflow was terminated"


@pytest.mark.parametrize(
    ("failure", "error_type", "message"),
    [
        (
            f.activity_not_registered("pay"),
            "TaskActivityNotRegistered",
            "no task activity named 'pay' was registered",
        ),
        (
            f.workflow_not_registered("ship"),
            "OrchestratorNotRegisteredError",
            "A 'ship' orchestrator was not registered.",
        ),
        (
            f.instance_already_exists(InstanceExists("w1")),
            "WorkflowInstanceAlreadyExists",
            "an active workflow with ID 'w1' already exists",
        ),
        (
            f.activity_timed_out("pay", 1500),
            "TaskActivityTimeout",
            "activity 'pay' did not finish within its timeout of 1.5 s",
        ),
    ],
)
def test_the_engines_own_failures_have_daprs_names(
    failure: Failure, error_type: str, message: str
) -> None:
    assert failure == Failure(error_type, message)
    assert not failure.non_retryable
