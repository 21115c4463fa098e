"""The orchestrators and activities that the scenarios run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

from durabletask import task

from tests.sdk.programs.held import hold

Steps = Generator[Any, Any, Any]

RETRIES = task.RetryPolicy(
    first_retry_interval=timedelta(seconds=0.02), max_number_of_attempts=3, backoff_coefficient=2
)

# ---- activities

_tries: dict[str, list[float]] = {}


def add_one(_ctx: Any, number: int) -> int:
    return number + 1


def square(_ctx: Any, number: int) -> int:
    return number * number


def echo(_ctx: Any, value: Any) -> Any:
    return value


def fail(_ctx: Any, text: str) -> None:
    raise ValueError(text)


def whoami(ctx: Any, _: Any) -> list[Any]:
    return [ctx.orchestration_id, ctx.task_id]


def flaky(_ctx: Any, of: dict[str, Any]) -> list[bool]:
    """Fails until its `times`-th try, and tells whether the pauses were long enough."""
    tries = _tries.setdefault(of["key"], [])
    tries.append(time.monotonic())
    if len(tries) < of["times"]:
        raise ValueError(f"try {len(tries)}")
    return [
        later - sooner >= 0.02 * 2**number
        for number, (sooner, later) in enumerate(itertools.pairwise(tries))
    ]


# ---- orchestrators


def chain(ctx: Any, number: int) -> Steps:
    found = []
    for _ in range(3):
        number = yield ctx.call_activity(add_one, input=number)
        found.append(number)
    return found


def fan_out(ctx: Any, count: int) -> Steps:
    tasks = [ctx.call_activity(square, input=number) for number in range(1, count + 1)]
    return sum((yield task.when_all(tasks)))


def nest(ctx: Any, depth: int) -> Steps:
    parent = ctx.parent_instance_id
    if depth == 1:
        return [[ctx.instance_id, parent]]
    below = yield ctx.call_sub_orchestrator(nest, input=depth - 1)
    return [[ctx.instance_id, parent], *below]


def identify(ctx: Any, _: Any) -> Steps:
    return (yield ctx.call_activity(whoami))


def collect(ctx: Any, count: int) -> Steps:
    yield ctx.wait_for_external_event("go")
    letters = []
    for _ in range(count):
        letters.append((yield ctx.wait_for_external_event("letter")))
    return letters


def two_waiters(ctx: Any, _: Any) -> Steps:
    waiters = [ctx.wait_for_external_event("letter"), ctx.wait_for_external_event("letter")]
    yield task.when_all(waiters)
    return [waiter.get_result() for waiter in waiters]


def echo_event(ctx: Any, name: str) -> Steps:
    return (yield ctx.wait_for_external_event(name))


def race(ctx: Any, _: Any) -> Steps:
    event = ctx.wait_for_external_event("signal")
    timer = ctx.create_timer(timedelta(seconds=0.05))
    winner = yield task.when_any([event, timer])
    return "timer" if winner is timer else "event"


def sleep(ctx: Any, seconds: float) -> Steps:
    began = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(seconds=seconds))
    return ctx.current_utc_datetime - began >= timedelta(seconds=seconds)


def retry(ctx: Any, times: int) -> Steps:
    of = {"key": ctx.instance_id, "times": times}
    try:
        return (yield ctx.call_activity(flaky, input=of, retry_policy=RETRIES))
    except task.TaskFailedError as error:
        return _told(error)


def retry_child(ctx: Any, child_id: str) -> Steps:
    found = yield ctx.call_sub_orchestrator(
        unsteady, input={"key": child_id, "times": 2}, instance_id=child_id, retry_policy=RETRIES
    )
    return found


def unsteady(ctx: Any, of: dict[str, Any]) -> Steps:
    yield ctx.call_activity(flaky, input=of)
    return ctx.instance_id


def count_up(ctx: Any, number: int) -> Steps:
    if number == 31:
        return number
    number = yield ctx.call_activity(add_one, input=number)
    ctx.continue_as_new(number)
    return None


def add_up(ctx: Any, so_far: dict[str, int]) -> Steps:
    found = yield ctx.wait_for_external_event("tick")
    so_far = {"seen": so_far["seen"] + 1, "total": so_far["total"] + found}
    if so_far["seen"] == 31:
        return so_far["total"]
    ctx.continue_as_new(so_far, save_events=True)
    return None


def begin_again(ctx: Any, of: dict[str, Any]) -> Steps:
    if of["round"] == 1:
        yield ctx.wait_for_external_event("go")
        ctx.continue_as_new({**of, "round": 2}, save_events=of["keep"])
        return None
    ctx.set_custom_status("second round")
    return (yield ctx.wait_for_external_event("extra"))


def report(ctx: Any, _: Any) -> Steps:
    ctx.set_custom_status("half")
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status({"done": 1})
    return 1


def wait(ctx: Any, _: Any) -> Steps:
    how = yield ctx.wait_for_external_event("go")
    if how == "badly":
        raise ValueError(how)
    return how


def family(ctx: Any, depth: int) -> Steps:
    if depth > 1:
        yield ctx.call_sub_orchestrator(family, input=depth - 1)
    yield ctx.wait_for_external_event("never")


def raises(_ctx: Any, text: str) -> None:
    raise KeyError(text)


def activity_raises(ctx: Any, text: str) -> Steps:
    yield ctx.call_activity(fail, input=text)


def activity_raises_and_is_caught(ctx: Any, text: str) -> Steps:
    try:
        yield ctx.call_activity(fail, input=text)
    except task.TaskFailedError as error:
        return _told(error)


def child_raises_and_is_caught(ctx: Any, text: str) -> Steps:
    try:
        yield ctx.call_sub_orchestrator(raises, input=text)
    except task.TaskFailedError as error:
        return _told(error)


def calls_nobody(ctx: Any, _: Any) -> Steps:
    yield ctx.call_activity("nobody")


def pass_on(ctx: Any, value: Any) -> Steps:
    return (yield ctx.call_activity(echo, input=value))


def held(ctx: Any, paths: dict[str, str]) -> Steps:
    process = yield ctx.call_activity(hold, input=paths)
    number = yield ctx.call_activity(add_one, input=1)
    return [process, number]


def tell_other(ctx: Any, other: str) -> Steps:
    ctx.send_event(other, "go", data="from another instance")
    return (yield ctx.call_activity(add_one, input=1))


def version(ctx: Any, _: Any) -> Any:
    return ctx.version


def unique(ctx: Any, _: Any) -> Steps:
    """The same id before and after a replay."""
    before = ctx.new_uuid()
    yield ctx.call_activity(add_one, input=1)
    return [len(before), before != ctx.new_uuid()]


def _told(error: Any) -> list[str]:
    return [type(error).__name__, error.details.error_type, error.details.message]


ACTIVITIES: list[Callable[..., Any]] = [add_one, square, echo, fail, whoami, flaky, hold]
ORCHESTRATORS: list[Callable[..., Any]] = [
    *(chain, fan_out, nest, identify, collect, two_waiters, echo_event, race, sleep, retry),
    *(retry_child, unsteady, count_up, add_up, begin_again, report, wait, family, raises),
    *(activity_raises, activity_raises_and_is_caught, child_raises_and_is_caught),
    *(calls_nobody, pass_on, tell_other, version, unique, held),
]
