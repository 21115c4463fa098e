"""The workflows and activities that the scenarios run."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

from tests.sdk.programs.dapr_py.sdk import VERSION, wf
from tests.sdk.programs.held import hold

Steps = Generator[Any, Any, Any]

RETRIES = wf.RetryPolicy(
    first_retry_interval=timedelta(seconds=0.02), max_number_of_attempts=3, backoff_coefficient=2
)

# ---- activities

_tries: dict[str, list[float]] = {}


def add_one(_ctx: Any, number: int) -> int:
    return number + 1


async def add_one_async(_ctx: Any, number: int) -> int:
    return number + 1


def square(_ctx: Any, number: int) -> int:
    return number * number


def echo(_ctx: Any, value: Any) -> Any:
    return value


def blob(_ctx: Any, size: int) -> str:
    return "x" * size


def fail(_ctx: Any, text: str) -> None:
    raise ValueError(text)


def whoami(ctx: Any) -> list[Any]:
    return [ctx.workflow_id, ctx.task_id]


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


def lineage(ctx: Any) -> list[list[str]] | None:
    """The workflows whose history came with the call."""
    history = ctx.get_propagated_history()
    return history and [[one.instance_id, one.name] for one in history.get_workflows()]


def hard_of_hearing(ctx: Any) -> int:
    """Fails until its third try; how often its caller has asked for it by then."""
    caller = ctx.get_propagated_history().get_last_workflow_by_name("ask_history")
    tries = len(caller.get_activities_by_name("hard_of_hearing"))
    if tries < 3:
        raise ValueError(f"try {tries}")
    return tries


# ---- workflows


def chain(ctx: Any, number: int) -> Steps:
    found = []
    for _ in range(3):
        number = yield ctx.call_activity(add_one, input=number)
        found.append(number)
    return found


def chain_async(ctx: Any, number: int) -> Steps:
    for _ in range(3):
        number = yield ctx.call_activity(add_one_async, input=number)
    return number


def fan_out(ctx: Any, count: int) -> Steps:
    tasks = [ctx.call_activity(square, input=number) for number in range(1, count + 1)]
    return sum((yield wf.when_all(tasks)))


def nest(ctx: Any, depth: int) -> Steps:
    if depth == 1:
        return [ctx.instance_id]
    below = yield ctx.call_child_workflow(nest, input=depth - 1)
    return [ctx.instance_id, *below]


def identify(ctx: Any) -> Steps:
    return (yield ctx.call_activity(whoami))


def collect(ctx: Any, count: int) -> Steps:
    yield ctx.wait_for_external_event("go")
    letters = []
    for _ in range(count):
        letters.append((yield ctx.wait_for_external_event("letter")))
    return letters


def two_waiters(ctx: Any) -> Steps:
    waiters = [ctx.wait_for_external_event("letter"), ctx.wait_for_external_event("letter")]
    yield wf.when_all(waiters)
    return [waiter.get_result() for waiter in waiters]


def echo_event(ctx: Any, name: str) -> Steps:
    return (yield ctx.wait_for_external_event(name))


def event_or_timeout(ctx: Any, seconds: float) -> Steps:
    try:
        found = yield ctx.wait_for_external_event("late", timeout=timedelta(seconds=seconds))
    except TimeoutError:
        ctx.set_custom_status("timed out")
        found = yield ctx.wait_for_external_event("late")
        return ["after the timeout", found]
    return ["in time", found]


def race(ctx: Any) -> Steps:
    event = ctx.wait_for_external_event("signal")
    timer = ctx.create_timer(timedelta(seconds=0.05))
    winner = yield wf.when_any([event, timer])
    return "timer" if winner is timer else "event"


def sleep(ctx: Any, seconds: float) -> Steps:
    began = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(seconds=seconds))
    return ctx.current_utc_datetime - began >= timedelta(seconds=seconds)


def sleep_until_yesterday(ctx: Any) -> Steps:
    yield ctx.create_timer(ctx.current_utc_datetime - timedelta(days=1))
    return "at once"


def retry(ctx: Any, times: int) -> Steps:
    of = {"key": ctx.instance_id, "times": times}
    try:
        return (yield ctx.call_activity(flaky, input=of, retry_policy=RETRIES))
    except Exception as error:
        return _told(error)


def retry_child(ctx: Any, child_id: str) -> Steps:
    found = yield ctx.call_child_workflow(
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


def report(ctx: Any) -> Steps:
    ctx.set_custom_status("half")
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status("done")
    return 1


def wait(ctx: Any) -> Steps:
    how = yield ctx.wait_for_external_event("go")
    if how == "badly":
        raise ValueError(how)
    return how


def family(ctx: Any, depth: int) -> Steps:
    if depth > 1:
        yield ctx.call_child_workflow(family, input=depth - 1)
    yield ctx.wait_for_external_event("never")


def raises(_ctx: Any, text: str) -> None:
    raise KeyError(text)


def activity_raises(ctx: Any, text: str) -> Steps:
    yield ctx.call_activity(fail, input=text)


def activity_raises_and_is_caught(ctx: Any, text: str) -> Steps:
    try:
        yield ctx.call_activity(fail, input=text)
    except Exception as error:
        return _told(error)


def child_raises_and_is_caught(ctx: Any, text: str) -> Steps:
    try:
        yield ctx.call_child_workflow(raises, input=text)
    except Exception as error:
        return _told(error)


def calls_nobody(ctx: Any) -> Steps:
    yield ctx.call_activity("nobody")


def pass_on(ctx: Any, value: Any) -> Steps:
    return (yield ctx.call_activity(echo, input=value))


def too_big_a_result(ctx: Any, size: int) -> Steps:
    try:
        yield ctx.call_activity(blob, input=size)
    except Exception as error:
        return _told(error)[:2]
    return "it went through"


def grow(ctx: Any, sizes: list[int]) -> Steps:
    total = 0
    for size in sizes:
        total += len((yield ctx.call_activity(blob, input=size)))
    ctx.set_custom_status("grown")
    yield ctx.wait_for_external_event("go")
    return total


def held(ctx: Any, paths: dict[str, str]) -> Steps:
    process = yield ctx.call_activity(hold, input=paths)
    number = yield ctx.call_activity(add_one, input=1)
    return [process, number]


def pass_history(ctx: Any) -> Steps:
    yield ctx.call_activity(add_one, input=1)
    return (yield ctx.call_child_workflow(hear_history, propagation=wf.PropagationScope.LINEAGE))


def hear_history(ctx: Any) -> Steps:
    own = yield ctx.call_activity(lineage, propagation=wf.PropagationScope.OWN_HISTORY)
    all_of_it = yield ctx.call_activity(lineage, propagation=wf.PropagationScope.LINEAGE)
    none = yield ctx.call_activity(lineage)
    return [own, all_of_it, none]


def show_results(ctx: Any) -> Steps:
    yield ctx.call_activity(add_one, input=1)
    yield ctx.call_activity(add_one, input=5)
    yield ctx.call_child_workflow(chain, input=0)
    with contextlib.suppress(Exception):
        yield ctx.call_activity(fail, input="no")
    return (yield ctx.call_child_workflow(ask_history, propagation=wf.PropagationScope.LINEAGE))


def ask_history(ctx: Any) -> Steps:
    history = ctx.get_propagated_history()
    caller = history.get_last_workflow_by_name("show_results")
    added = caller.get_activities_by_name("add_one")
    failed = caller.get_last_activity_by_name("fail")
    child = caller.get_last_child_workflow_by_name("chain")
    own = caller.get_last_child_workflow_by_name("ask_history")
    try:
        found = caller.get_last_activity_by_name("nothing").name
    except wf.PropagationNotFoundError:
        found = "not found"
    tries = yield ctx.call_activity(
        hard_of_hearing, retry_policy=RETRIES, propagation=wf.PropagationScope.OWN_HISTORY
    )
    return [
        history.scope.name,
        len(history.get_app_ids()),
        [[one.input, one.output, one.completed, one.failed] for one in added],
        [failed.input, failed.output, failed.completed, failed.failed, failed.error is not None],
        [child.output, child.completed, child.failed],
        [own.started, own.completed, own.failed],
        found,
        tries,
    ]


def hand_down(ctx: Any) -> Steps:
    return (
        yield ctx.call_child_workflow(
            again_and_again, input=0, propagation=wf.PropagationScope.LINEAGE
        )
    )


def again_and_again(ctx: Any, number: int) -> Steps:
    yield ctx.call_activity(add_one, input=number)
    if number < 2:
        ctx.continue_as_new(number + 1)
        return None
    return (yield ctx.call_activity(lineage, propagation=wf.PropagationScope.LINEAGE))


def _told(error: Any) -> list[str]:
    return [type(error).__name__, error.details.error_type, error.details.message]


ACTIVITIES: list[Callable[..., Any]] = [
    *(add_one, square, echo, blob, fail, whoami, flaky, hold, lineage, hard_of_hearing),
    *([add_one_async] if VERSION >= (1, 18) else []),
]
WORKFLOWS: list[Callable[..., Any]] = [
    *(chain, chain_async, fan_out, nest, identify, collect, two_waiters, echo_event, race),
    *(event_or_timeout, sleep, sleep_until_yesterday, retry, retry_child, unsteady, count_up),
    *(add_up, begin_again, report, wait, family, raises, activity_raises, calls_nobody, pass_on),
    *(activity_raises_and_is_caught, child_raises_and_is_caught, too_big_a_result, grow, held),
    *(pass_history, hear_history, show_results, ask_history, hand_down, again_and_again),
]


def register(runtime: Any) -> None:
    for workflow in WORKFLOWS:
        runtime.register_workflow(workflow)
    for activity in ACTIVITIES:
        runtime.register_activity(activity)
