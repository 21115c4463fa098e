"""Functions written for Dapr's SDK as definitions for perdure's registry. A value module.

The definition's function stands between: it makes the contexts, gives a parameter that is annotated
with a model such a model, and writes the result in Dapr's form.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Generator
from dataclasses import replace
from types import UnionType
from typing import Any

import msgspec

from perdure.runtime.dapr.context import DaprWorkflowContext, WorkflowActivityContext
from perdure.runtime.dapr.wire import Wire, as_model, is_model, raw
from perdure.runtime.workflow.activities.context import ActivityContext
from perdure.runtime.workflow.context import WorkflowContext
from perdure.runtime.workflow.definition import (
    ActivityDefinition,
    WorkflowDefinition,
    define_activity,
    define_workflow,
)
from perdure.runtime.workflow.signature import Style, hints_of, style_of

_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY
_SIGNATURE = inspect.Signature(
    [inspect.Parameter("ctx", _POSITIONAL), inspect.Parameter("input", _POSITIONAL, default=None)]
)


def workflow_definition(
    fn: Callable[..., Any], name: str, *, version: str | None = None, latest: bool = False
) -> WorkflowDefinition:
    """Raises `TypeError` for what cannot be a workflow."""
    standing_in = _in_place_of(fn, _workflow(fn, _Arguments(fn)))
    found = define_workflow(standing_in, name=name, version=version, latest=latest, typed=False)
    return replace(found, input_hint=Wire, output_hint=Wire)


def activity_definition(fn: Callable[..., Any], name: str) -> ActivityDefinition:
    """Raises `TypeError` for what cannot be an activity."""
    standing_in = _in_place_of(fn, _activity(fn, _Arguments(fn)))
    found = define_activity(standing_in, name=name, typed=False)
    return replace(found, input_hint=Wire, output_hint=Wire)


def _workflow(fn: Callable[..., Any], arguments: _Arguments) -> Callable[..., Any]:
    if style_of(fn, f"workflow {fn!r}") is Style.ASYNC:
        # Not in Dapr's SDK, but there is no reason to refuse it.
        async def run(ctx: WorkflowContext, input: Any) -> msgspec.Raw | None:
            return raw(await fn(*arguments.of(DaprWorkflowContext(ctx), input)))

        return run

    def steps(ctx: WorkflowContext, input: Any) -> Generator[Any, Any, msgspec.Raw | None]:
        outcome = fn(*arguments.of(DaprWorkflowContext(ctx), input))
        if inspect.isgenerator(outcome):
            outcome = yield from outcome
        return raw(outcome)

    return steps


def _activity(fn: Callable[..., Any], arguments: _Arguments) -> Callable[..., Any]:
    if style_of(fn, f"activity {fn!r}") is Style.ASYNC:

        async def run(ctx: ActivityContext, input: Any) -> msgspec.Raw | None:
            return raw(await fn(*arguments.of(WorkflowActivityContext(ctx), input)))

        return run

    def run_in_thread(ctx: ActivityContext, input: Any) -> msgspec.Raw | None:
        result = fn(*arguments.of(WorkflowActivityContext(ctx), input))
        if inspect.iscoroutine(result):
            result.close()
            raise RuntimeError(
                f"activity '{ctx.activity_name}' returned a coroutine: declare it with "
                "`async def`, and decorators around it with `functools.wraps`"
            )
        return raw(result)

    return run_in_thread


def _in_place_of(fn: Callable[..., Any], standing_in: Callable[..., Any]) -> Callable[..., Any]:
    """Let the engine see the user's function: for its file and line, and the hash of its code."""
    standing_in.__wrapped__ = fn  # type: ignore[attr-defined]
    standing_in.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
    return standing_in


class _Arguments:
    """What a function is called with: the context, and the input if it has a second parameter."""

    __slots__ = ("_model", "_takes_input")

    def __init__(self, fn: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(fn).parameters.values())
        self._takes_input = len(parameters) > 1
        self._model = _model_of(fn, parameters[1]) if self._takes_input else None

    def of(self, ctx: object, input: Any) -> tuple[Any, ...]:
        return (ctx, as_model(input, self._model)) if self._takes_input else (ctx,)


def _model_of(fn: Callable[..., Any], parameter: inspect.Parameter) -> type | None:
    """The model that a parameter is annotated with, `Model | None` included."""
    try:
        hint, _ = hints_of(fn, parameter.name, f"{fn!r}")
    except TypeError:
        return None  # Dapr's SDK takes an annotation that cannot be resolved for none, too.
    if typing.get_origin(hint) in (typing.Union, UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        hint = members[0] if len(members) == 1 else None
    return hint if is_model(hint) else None
