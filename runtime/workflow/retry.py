"""When a failed call is tried again. A value module: pure, and equal in every replay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass
from datetime import timedelta

from perdure.runtime.workflow.history import Failure

_DELAY_MAX_US = 100 * 365 * 86_400 * 1_000_000
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how far apart, a failing activity or child workflow is tried.

    The wait after failure n is `first_retry_interval * backoff_coefficient ** (n - 1)`, at most
    `max_retry_interval`. No try begins later than `retry_timeout` after the first one.

    Args:
        max_number_of_attempts: All tries together, the first one included.
        non_retryable_error_types: Exception classes, or names of error types (`"ValueError"`,
            `"shop.errors.Declined"`), that fail the call at once. Subclasses are not included: a
            failure carries only the name of its type. `NonRetryableError` always does.
        non_retryable: Another spelling of the same.
    """

    first_retry_interval: timedelta
    max_number_of_attempts: int
    backoff_coefficient: float | None = 1.0
    max_retry_interval: timedelta | None = None
    retry_timeout: timedelta | None = None
    non_retryable_error_types: Iterable[str | type[BaseException]] = ()
    non_retryable: InitVar[Iterable[str | type[BaseException]]] = ()

    def __post_init__(self, non_retryable: Iterable[str | type[BaseException]]) -> None:
        for name in ("first_retry_interval", "max_retry_interval", "retry_timeout"):
            _check_interval(name, getattr(self, name))
        if self.first_retry_interval is None:
            raise TypeError("first_retry_interval must be a timedelta, found None")
        tries = self.max_number_of_attempts
        if not isinstance(tries, int) or isinstance(tries, bool):
            raise TypeError(f"max_number_of_attempts must be an int, found {tries!r}")
        if tries < 1:
            raise ValueError(f"max_number_of_attempts must be >= 1, found {tries}")
        coefficient = self.backoff_coefficient
        # Written so that NaN is refused too.
        if coefficient is not None and not 1 <= coefficient < float("inf"):
            raise ValueError(f"backoff_coefficient must be >= 1 and finite, found {coefficient}")
        names = [*_names(self.non_retryable_error_types), *_names(non_retryable)]
        object.__setattr__(self, "non_retryable_error_types", tuple(dict.fromkeys(names)))


def next_delay_us(
    policy: RetryPolicy, failures: int, first_try_us: int, now_us: int, failure: Failure
) -> int | None:
    """How long to wait before the next try, after `failures` failures; None to give up."""
    if failures >= policy.max_number_of_attempts:
        return None
    if failure.non_retryable or _is_listed(failure.error_type, policy):
        return None
    delay_us = _backoff_us(policy, failures)
    if policy.retry_timeout is not None:
        deadline_us = first_try_us + policy.retry_timeout // _MICROSECOND
        if now_us + delay_us >= deadline_us:
            return None
    return delay_us


def _backoff_us(policy: RetryPolicy, failures: int) -> int:
    limit = _DELAY_MAX_US
    if policy.max_retry_interval is not None:
        limit = min(limit, policy.max_retry_interval // _MICROSECOND)
    delay = float(policy.first_retry_interval // _MICROSECOND)
    coefficient = policy.backoff_coefficient or 1.0
    if coefficient > 1 and delay > 0:
        # Multiplied out, not `**`: a power may differ in the last bit between machines, and the due
        # time of a timer is part of what a replay compares.
        for _ in range(failures - 1):
            delay *= coefficient
            if delay >= limit:
                return limit
    return min(round(delay), limit)


def _is_listed(error_type: str, policy: RetryPolicy) -> bool:
    """Is `error_type` one of the policy's? A short name also matches a qualified one."""
    short = error_type.rpartition(".")[2]
    if short == "NonRetryableError":
        return True
    for listed in policy.non_retryable_error_types:
        assert isinstance(listed, str)
        if listed in (error_type, short):
            return True
        if error_type == short and listed.rpartition(".")[2] == short:
            return True
    return False


def _names(types: Iterable[str | type[BaseException]]) -> Iterable[str]:
    if isinstance(types, (str, type)):
        raise TypeError(f"non_retryable_error_types must be a list or tuple, found {types!r}")
    for entry in types:
        if isinstance(entry, str) and entry:
            yield entry
        elif isinstance(entry, type) and issubclass(entry, BaseException):
            # The short name, because that is all that a failure carries.
            yield entry.__name__
        else:
            raise TypeError(
                f"non_retryable_error_types: found {entry!r}, expected exception classes or names"
            )


def _check_interval(name: str, interval: timedelta | None) -> None:
    if interval is None:
        return
    if not isinstance(interval, timedelta):
        raise TypeError(f"{name} must be a timedelta, found {interval!r}")
    if interval < timedelta(0):
        raise ValueError(f"{name} must be >= 0, found {interval}")
