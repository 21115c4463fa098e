"""What a function is to the engine: its definition, and the decorators. A value module.

A decorator only attaches a mark: nothing global is filled, and hints are resolved when a node
starts, once all the names that they refer to exist.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from perdure.runtime.workflow import payload
from perdure.runtime.workflow.signature import (
    Signature,
    Style,
    activity_signature,
    code_hash,
    hints_of,
    style_of,
    workflow_signature,
)

Fn = TypeVar("Fn", bound=Callable[..., Any])

MARK = "__perdure_mark__"
"""Attribute of a decorated function."""


@dataclass(frozen=True, slots=True)
class WorkflowMark:
    name: str
    version: str | None
    latest: bool


@dataclass(frozen=True, slots=True)
class ActivityMark:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What the engine has to know of a registered function."""

    name: str
    fn: Callable[..., Any]
    signature: Signature
    input_hint: Any
    output_hint: Any
    location: str
    """`file:line` of the function."""

    @property
    def takes_context(self) -> bool:
        return self.signature.takes_context

    @property
    def takes_input(self) -> bool:
        return self.signature.takes_input

    def arguments(self, ctx: object, text: str | None) -> tuple[Any, ...]:
        """The positional arguments for one run. Raises `PayloadError`."""
        arguments: tuple[Any, ...] = (ctx,) if self.signature.takes_context else ()
        if not self.signature.takes_input:
            return arguments
        if text is None or text in ("null", ""):
            if self.signature.requires_input and not payload.takes_none(self.input_hint):
                raise payload.PayloadError(f"{self} was called without input, and needs one")
            return (*arguments, self.signature.input_default)
        return (*arguments, payload.decode(text, self.input_hint, f"input of {self}"))

    def encode_output(self, value: Any) -> str | None:
        """Raises `PayloadError`."""
        return payload.encode(value, f"result of {self}")

    def decode_output(self, text: str | None) -> Any:
        """What a caller of this function sees of its result. Raises `PayloadError`."""
        return payload.decode(text, self.output_hint, f"result of {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDefinition(Definition):
    version: str | None
    latest: bool
    style: Style
    code_hash: str

    def __str__(self) -> str:
        version = "" if self.version is None else f" version '{self.version}'"
        return f"workflow '{self.name}'{version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityDefinition(Definition):
    is_async: bool

    def __str__(self) -> str:
        return f"activity '{self.name}'"


@overload
def workflow(fn: Fn, /) -> Fn: ...
@overload
def workflow(
    *, name: str | None = None, version: str | None = None, latest: bool = False
) -> Callable[[Fn], Fn]: ...
def workflow(
    fn: Fn | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    latest: bool = False,
) -> Fn | Callable[[Fn], Fn]:
    """Mark a function as a workflow; the function itself stays as it is.

    Args:
        name: What clients call it; the function's own name otherwise.
        version: Tells several functions of one name apart. New instances run the latest one; an
            instance stays with the version that it began with.
        latest: This version is the one for new instances. Needed if there are several.
    """

    def mark(fn: Fn) -> Fn:
        effective = _checked_name(fn, name, "a workflow")
        if version is not None and not (isinstance(version, str) and version):
            raise TypeError(f"version of workflow '{effective}' must be text, found {version!r}")
        what = f"workflow '{effective}' ({_location(fn)})"
        workflow_signature(fn, what)
        style_of(fn, what)
        return _attach(fn, WorkflowMark(effective, version, latest))

    return mark if fn is None else mark(fn)


@overload
def activity(fn: Fn, /) -> Fn: ...
@overload
def activity(*, name: str | None = None) -> Callable[[Fn], Fn]: ...
def activity(fn: Fn | None = None, /, *, name: str | None = None) -> Fn | Callable[[Fn], Fn]:
    """Mark a function as an activity; the function itself stays as it is."""

    def mark(fn: Fn) -> Fn:
        effective = _checked_name(fn, name, "an activity")
        what = f"activity '{effective}' ({_location(fn)})"
        activity_signature(fn, what)
        _activity_is_async(fn, what)
        return _attach(fn, ActivityMark(effective))

    return mark if fn is None else mark(fn)


def name_of(target: str | Callable[..., Any]) -> str:
    """The name by which a call refers to a function, or to a name given as it is."""
    if isinstance(target, str):
        if not target:
            raise TypeError("the name of a workflow or an activity must not be empty")
        return target
    mark = mark_of(target)
    return mark.name if mark is not None else _checked_name(target, None, "a call")


def define_workflow(
    fn: Callable[..., Any],
    *,
    name: str | None = None,
    version: str | None = None,
    latest: bool = False,
    typed: bool = True,
) -> WorkflowDefinition:
    """The definition of a function, marked or not. Raises `TypeError`."""
    mark = mark_of(fn)
    if isinstance(mark, WorkflowMark):
        name, version = name or mark.name, version or mark.version
        latest = latest or mark.latest
    effective = _checked_name(fn, name, "a workflow")
    what = f"workflow '{effective}' ({_location(fn)})"
    signature = workflow_signature(fn, what)
    input_hint, output_hint = _hints(fn, signature, what, typed)
    return WorkflowDefinition(
        name=effective,
        fn=fn,
        signature=signature,
        input_hint=input_hint,
        output_hint=output_hint,
        location=_location(fn),
        version=version,
        latest=latest,
        style=style_of(fn, what),
        code_hash=code_hash(fn),
    )


def define_activity(
    fn: Callable[..., Any], *, name: str | None = None, typed: bool = True
) -> ActivityDefinition:
    """The definition of a function, marked or not. Raises `TypeError`."""
    mark = mark_of(fn)
    if isinstance(mark, ActivityMark):
        name = name or mark.name
    effective = _checked_name(fn, name, "an activity")
    what = f"activity '{effective}' ({_location(fn)})"
    signature = activity_signature(fn, what)
    input_hint, output_hint = _hints(fn, signature, what, typed)
    return ActivityDefinition(
        name=effective,
        fn=fn,
        signature=signature,
        input_hint=input_hint,
        output_hint=output_hint,
        location=_location(fn),
        is_async=_activity_is_async(fn, what),
    )


def _hints(fn: Callable[..., Any], signature: Signature, what: str, typed: bool) -> tuple[Any, Any]:
    if not typed:
        return Any, Any
    input_hint, output_hint = hints_of(fn, signature.input_name, what)
    payload.check_hint(input_hint, f"input of {what}")
    payload.check_hint(output_hint, f"result of {what}")
    return input_hint, output_hint


def _activity_is_async(fn: Callable[..., Any], what: str) -> bool:
    style = style_of(fn, what)
    if style is Style.GENERATOR:
        raise TypeError(f"{what} is a generator: an activity returns its result, it yields nothing")
    return style is Style.ASYNC


def _checked_name(fn: Any, name: str | None, what: str) -> str:
    """The name given, or the function's own. Raises `TypeError` for what is no function."""
    if isinstance(fn, type) or not callable(fn):
        raise TypeError(f"{what} must be a function, found {fn!r}")
    if name is not None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"the name of {what} must be text, found {name!r}")
        return name
    inner = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    own = getattr(inner, "__name__", None)
    if not isinstance(own, str) or own == "<lambda>":
        raise TypeError(f"{what} needs a name: {fn!r} has none; give name=...")
    return own


def _attach(fn: Fn, mark: WorkflowMark | ActivityMark) -> Fn:
    there = attributes_of(fn).get(MARK)
    if there is not None and type(there) is not type(mark):
        raise TypeError(f"'{mark.name}' cannot be a workflow and an activity ({_location(fn)})")
    try:
        setattr(fn, MARK, mark)
    except AttributeError as error:
        raise TypeError(
            f"{fn!r} cannot be decorated; register it with Registry.add_workflow or add_activity"
        ) from error
    return fn


def mark_of(value: Any) -> WorkflowMark | ActivityMark | None:
    mark = attributes_of(value).get(MARK)
    return mark if isinstance(mark, (WorkflowMark, ActivityMark)) else None


def attributes_of(value: Any) -> dict[str, Any]:
    """By `__dict__`, because `getattr` may do anything on the values of somebody's module."""
    attributes = getattr(value, "__dict__", None)
    return attributes if isinstance(attributes, dict) else {}


def _location(fn: Callable[..., Any]) -> str:
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    code = getattr(getattr(inner, "__wrapped__", inner), "__code__", None)
    if code is None:
        return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', repr(inner))}"
    return f"{code.co_filename}:{code.co_firstlineno}"
