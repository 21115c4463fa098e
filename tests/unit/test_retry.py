from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.runtime.workflow.history import Failure
from perdure.runtime.workflow.retry import RetryPolicy, next_delay_us

SECOND = 1_000_000
BOOM = Failure("ValueError", "boom")


def policy(**changes: Any) -> RetryPolicy:
    changes.setdefault("first_retry_interval", timedelta(seconds=1))
    changes.setdefault("max_number_of_attempts", 5)
    return RetryPolicy(**changes)


def delays(given: RetryPolicy, failures: int = 10) -> list[int | None]:
    return [next_delay_us(given, n, 0, 0, BOOM) for n in range(1, failures + 1)]


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, [1, 1, 1, 1]),
        ({"max_number_of_attempts": 1}, []),
        ({"backoff_coefficient": 2.0}, [1, 2, 4, 8]),
        ({"backoff_coefficient": None}, [1, 1, 1, 1]),
        ({"backoff_coefficient": 3.0, "max_retry_interval": timedelta(seconds=5)}, [1, 3, 5, 5]),
        ({"max_retry_interval": timedelta(seconds=0.5)}, [0.5, 0.5, 0.5, 0.5]),
        ({"first_retry_interval": timedelta(0)}, [0, 0, 0, 0]),
    ],
)
def test_the_delays_grow_up_to_the_cap_until_the_attempts_are_used_up(
    changes: dict[str, Any], seconds: list[float]
) -> None:
    found = [delay for delay in delays(policy(**changes)) if delay is not None]
    assert found == [second * SECOND for second in seconds]


def test_no_try_begins_at_or_after_the_retry_timeout() -> None:
    limited = policy(retry_timeout=timedelta(seconds=10), max_number_of_attempts=100)
    first = 1_000 * SECOND
    assert next_delay_us(limited, 1, first, first + 9 * SECOND - 1, BOOM) == SECOND
    assert next_delay_us(limited, 1, first, first + 9 * SECOND, BOOM) is None


class Declined(Exception):
    pass


@pytest.mark.parametrize(
    ("listed", "error_type", "final"),
    [
        ("ValueError", "ValueError", True),
        (ValueError, "ValueError", True),
        (Declined, "Declined", True),
        ("shop.Declined", "Declined", True),
        ("Declined", "shop.Declined", True),
        ("shop.Declined", "shop.Declined", True),
        ("bank.Declined", "shop.Declined", False),
        ("KeyError", "ValueError", False),
        ("Error", "ValueError", False),
        (Exception, "ValueError", False),
    ],
)
def test_a_listed_error_type_is_final(
    listed: str | type[BaseException], error_type: str, final: bool
) -> None:
    failure = Failure(error_type, "")
    for spelling in ("non_retryable_error_types", "non_retryable"):
        delay = next_delay_us(policy(**{spelling: [listed]}), 1, 0, 0, failure)
        assert (delay is None) is final


@pytest.mark.parametrize(
    "failure",
    [Failure("NonRetryableError", ""), Failure("ValueError", "", non_retryable=True)],
)
def test_a_failure_that_calls_itself_final_is(failure: Failure) -> None:
    assert next_delay_us(policy(), 1, 0, 0, failure) is None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"first_retry_interval": timedelta(-1)}, ValueError, "first_retry_interval must be >= 0"),
        ({"first_retry_interval": 3}, TypeError, "first_retry_interval must be a timedelta"),
        ({"first_retry_interval": None}, TypeError, "first_retry_interval must be a timedelta"),
        ({"max_number_of_attempts": 0}, ValueError, "max_number_of_attempts must be >= 1"),
        ({"max_number_of_attempts": 1.5}, TypeError, "max_number_of_attempts must be an int"),
        ({"backoff_coefficient": 0.9}, ValueError, "backoff_coefficient must be >= 1"),
        ({"backoff_coefficient": float("nan")}, ValueError, "backoff_coefficient must be >= 1"),
        ({"max_retry_interval": timedelta(-1)}, ValueError, "max_retry_interval must be >= 0"),
        ({"retry_timeout": timedelta(-1)}, ValueError, "retry_timeout must be >= 0"),
        ({"non_retryable": "ValueError"}, TypeError, "must be a list or tuple"),
        ({"non_retryable": [3]}, TypeError, "expected exception classes or names"),
    ],
)
def test_a_senseless_policy_is_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        policy(**changes)


@given(
    first=st.integers(0, 10**12),
    coefficient=st.floats(1, 1e300),
    failures=st.integers(1, 10_000),
)
def test_no_policy_overflows_and_no_delay_shrinks(
    first: int, coefficient: float, failures: int
) -> None:
    given_policy = policy(
        first_retry_interval=timedelta(microseconds=first),
        backoff_coefficient=coefficient,
        max_number_of_attempts=20_000,
    )
    now = next_delay_us(given_policy, failures, 0, 0, BOOM)
    later = next_delay_us(given_policy, failures + 1, 0, 0, BOOM)
    assert now is not None
    assert later is not None
    assert 0 <= now <= later
