"""Random workflow programs: as data, as a workflow of either style, and as a model of both."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from hypothesis import strategies as st

import perdure
from perdure import RetryPolicy, TaskFailedError, WorkflowContext
from perdure.runtime.workflow.registry import Registry

NAMES = ("go", "item", "Stop")


@dataclass(frozen=True)
class Call:
    value: int
    failures: int = 0
    """Tries that fail; the call allows for two."""


@dataclass(frozen=True)
class Gather:
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Sleep:
    microseconds: int


@dataclass(frozen=True)
class Wait:
    name: str
    seconds: int | None


@dataclass(frozen=True)
class Child:
    body: Body


@dataclass(frozen=True)
class Try:
    body: Body


@dataclass(frozen=True)
class Within:
    """A body under a time limit that is far off (none in generators)."""

    body: Body


@dataclass(frozen=True)
class Loop:
    times: int
    body: Body


@dataclass(frozen=True)
class Fork:
    """Bodies side by side, in a task group. They neither fail nor wait for events."""

    bodies: tuple[Body, ...]


@dataclass(frozen=True)
class Fail:
    text: str


Step: TypeAlias = Call | Gather | Sleep | Wait | Child | Try | Within | Loop | Fork | Fail
Body: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True)
class Program:
    body: Body
    runs: int
    """How often it begins again by continue-as-new, plus one."""


_values = st.integers(0, 99)
_good_calls = st.builds(Call, _values, st.integers(0, 1))
_calls = st.builds(Call, _values, st.sampled_from([0, 0, 0, 1, 2]))
_sleeps = st.builds(Sleep, st.integers(0, 5000))


def _bodies(steps: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[Any]:
    return st.lists(steps, min_size=1, max_size=most).map(tuple)


_calm_leaves = _good_calls | _sleeps | st.builds(Gather, _bodies(_good_calls, 3))
_calm = st.recursive(
    _calm_leaves,
    lambda inner: (
        st.builds(Loop, st.integers(1, 2), _bodies(inner, 2)) | st.builds(Child, _bodies(inner, 2))
    ),
    max_leaves=4,
)
_leaves = (
    _calls
    | _sleeps
    | st.builds(Gather, _bodies(_calls, 3))
    | st.builds(Wait, st.sampled_from(NAMES), st.sampled_from([None, 3600]))
    | st.builds(Fail, st.sampled_from(["no", "never"]))
    | st.builds(Fork, _bodies(_bodies(_calm, 2), 3))
)
_steps = st.recursive(
    _leaves,
    lambda inner: (
        st.builds(Try, _bodies(inner, 3))
        | st.builds(Within, _bodies(inner, 3))
        | st.builds(Loop, st.integers(1, 3), _bodies(inner, 2))
        | st.builds(Child, _bodies(_calm, 3))
    ),
    max_leaves=8,
)
programs = st.builds(Program, _bodies(_steps), st.integers(1, 3))

POLICY = RetryPolicy(first_retry_interval=timedelta(milliseconds=2), max_number_of_attempts=2)


# ---- as a workflow


@perdure.activity
def echo(value: Any) -> Any:
    raise AssertionError("the desk answers for it")


def registry_of(program: Program, *, generators: bool) -> Registry:
    registry = Registry()
    children: dict[Body, str] = {}
    for body in _children_of(program.body):
        children.setdefault(body, f"child{len(children)}")
    style = _generator if generators else _coroutine
    registry.add_workflow(style(program.body, children, program.runs), name="program")
    for body, name in children.items():
        registry.add_workflow(style(body, children, 1), name=name)
    registry.add_activity(echo)
    return registry


def _children_of(body: Body) -> Iterator[Body]:
    for step in body:
        if isinstance(step, Child):
            yield step.body
        if isinstance(step, (Child, Try, Within, Loop)):
            yield from _children_of(step.body)
        if isinstance(step, Fork):
            for each in step.bodies:
                yield from _children_of(each)


def _ask(ctx: WorkflowContext, call: Call) -> Any:
    text = [call.value, call.failures]
    return ctx.call_activity(echo, input=text, retry_policy=POLICY)


def _wait(ctx: WorkflowContext, wait: Wait) -> Any:
    timeout = None if wait.seconds is None else timedelta(seconds=wait.seconds)
    return ctx.wait_for_external_event(wait.name, timeout)


def _coroutine(body: Body, children: dict[Body, str], runs: int) -> Any:
    async def run(ctx: WorkflowContext, body: Body, out: list[Any]) -> None:
        for step in body:
            match step:
                case Call():
                    out.append(await _ask(ctx, step))
                case Gather():
                    asked = [_ask(ctx, call) for call in step.calls]
                    found = await asyncio.gather(*asked, return_exceptions=True)
                    out.append([_shown(each) for each in found])
                case Sleep():
                    await asyncio.sleep(step.microseconds / 1e6)
                case Wait():
                    out.append(await _wait(ctx, step))
                case Child():
                    out.append(await ctx.call_child_workflow(children[step.body]))
                case Try():
                    try:
                        await run(ctx, step.body, out)
                    except (TaskFailedError, ValueError, TimeoutError):
                        out.append("caught")
                case Within():
                    async with asyncio.timeout(3600):
                        await run(ctx, step.body, out)
                case Loop():
                    for _ in range(step.times):
                        await run(ctx, step.body, out)
                case Fork():
                    outs: list[list[Any]] = [[] for _ in step.bodies]
                    async with asyncio.TaskGroup() as group:
                        for each, inner in zip(step.bodies, outs, strict=True):
                            group.create_task(run(ctx, each, inner))
                    out.append(outs)
                case Fail():
                    raise ValueError(step.text)

    async def program(ctx: WorkflowContext, so_far: list[Any] | None) -> list[Any]:
        number, out = so_far or [1, []]
        await run(ctx, body, out)
        if number < runs:
            ctx.continue_as_new([number + 1, out], save_events=True)
        return list(out)

    return program


def _generator(body: Body, children: dict[Body, str], runs: int) -> Any:
    """The same without task groups: the bodies of a fork run one after the other."""

    def run(ctx: WorkflowContext, body: Body, out: list[Any]) -> Generator[Any, Any, None]:
        for step in body:
            match step:
                case Call():
                    out.append((yield _ask(ctx, step)))
                case Gather():
                    tasks = [_ask(ctx, call) for call in step.calls]
                    found = []
                    for task in tasks:
                        try:
                            found.append((yield task))
                        except TaskFailedError as error:
                            found.append(_shown(error))
                    out.append(found)
                case Sleep():
                    yield ctx.create_timer(timedelta(microseconds=step.microseconds))
                case Wait():
                    out.append((yield _wait(ctx, step)))
                case Child():
                    out.append((yield ctx.call_child_workflow(children[step.body])))
                case Try():
                    try:
                        yield from run(ctx, step.body, out)
                    except (TaskFailedError, ValueError, TimeoutError):
                        out.append("caught")
                case Within():
                    yield from run(ctx, step.body, out)
                case Loop():
                    for _ in range(step.times):
                        yield from run(ctx, step.body, out)
                case Fork():
                    outs: list[list[Any]] = [[] for _ in step.bodies]
                    for each, inner in zip(step.bodies, outs, strict=True):
                        yield from run(ctx, each, inner)
                    out.append(outs)
                case Fail():
                    raise ValueError(step.text)

    def program(ctx: WorkflowContext, so_far: list[Any] | None) -> Generator[Any, Any, list[Any]]:
        number, out = so_far or [1, []]
        yield from run(ctx, body, out)
        if number < runs:
            ctx.continue_as_new([number + 1, out], save_events=True)
        return list(out)

    return program


def _shown(found: Any) -> Any:
    return "failed" if isinstance(found, TaskFailedError) else found


# ---- as a model


class Failed(Exception):
    """How the model says that something has failed."""


def expected(program: Program, events: dict[str, Iterator[Any]]) -> list[Any]:
    """What the program comes to if these events arrive. Raises `Failed`."""
    out: list[Any] = []
    for _ in range(program.runs):
        _model(program.body, events, out)
    return out


def _model(body: Body, events: dict[str, Iterator[Any]], out: list[Any]) -> None:
    for step in body:
        match step:
            case Call():
                if step.failures >= POLICY.max_number_of_attempts:
                    raise Failed
                out.append(step.value)
            case Gather():
                out.append(["failed" if c.failures >= 2 else c.value for c in step.calls])
            case Sleep():
                pass
            case Wait():
                out.append(next(events[step.name]))
            case Child():
                inner: list[Any] = []
                _model(step.body, events, inner)
                out.append(inner)
            case Try():
                try:
                    _model(step.body, events, out)
                except Failed:
                    out.append("caught")
            case Within():
                _model(step.body, events, out)
            case Loop():
                for _ in range(step.times):
                    _model(step.body, events, out)
            case Fork():
                outs: list[list[Any]] = [[] for _ in step.bodies]
                for each, found in zip(step.bodies, outs, strict=True):
                    _model(each, events, found)
                out.append(outs)
            case Fail():
                raise Failed
