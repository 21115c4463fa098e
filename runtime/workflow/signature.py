"""What a function asks for: context, input, hints, and a hash of its code. A value module."""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_CONTEXT_NAMES = frozenset({"ctx", "context", "_ctx", "wf_ctx", "_"})
_CONTEXT_TYPES = frozenset({"WorkflowActivityContext", "ActivityContext"})
_NOTHING = inspect.Parameter.empty


class Style(StrEnum):
    """How the code of a workflow runs."""

    ASYNC = "async"
    GENERATOR = "generator"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters that the engine fills in. Both are passed by position, the context first."""

    takes_context: bool
    takes_input: bool
    input_name: str | None
    input_default: Any
    """Passed when there is no input; None if the parameter has no default."""
    requires_input: bool
    """Whether the parameter has no default."""


def workflow_signature(fn: Callable[..., Any], what: str) -> Signature:
    """`(ctx, input)`, `(ctx)` or nothing. Raises `TypeError` naming `what`."""
    parameters = _positional(fn, what)
    if parameters:
        _refuse_input_first(parameters[0], what)
    return _signature(parameters, takes_context=bool(parameters))


def activity_signature(fn: Callable[..., Any], what: str) -> Signature:
    """`(ctx, input)`, `(ctx)`, `(input)` or nothing. Raises `TypeError` naming `what`."""
    parameters = _positional(fn, what)
    alone = len(parameters) == 1
    takes_context = bool(parameters) and (not alone or _is_context(parameters[0]))
    return _signature(parameters, takes_context=takes_context)


def _signature(parameters: list[inspect.Parameter], *, takes_context: bool) -> Signature:
    rest = parameters[1:] if takes_context else parameters
    if not rest:
        return Signature(takes_context, False, None, None, False)
    is_required = rest[0].default is _NOTHING
    default = None if is_required else rest[0].default
    return Signature(takes_context, True, rest[0].name, default, is_required)


def _positional(fn: Callable[..., Any], what: str) -> list[inspect.Parameter]:
    """The parameters that the context and the input go to, at most two."""
    try:
        signature = inspect.signature(fn)
    except ValueError as error:
        raise TypeError(f"{what} has no readable signature: {error}") from error
    taken: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            # `*args` of a wrapper takes whatever is still missing.
            taken.extend([parameter.replace(annotation=_NOTHING)] * (2 - len(taken)))
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is _NOTHING:
            raise TypeError(
                f"{what} requires the keyword argument '{parameter.name}'; "
                "it is called with (ctx, input) by position"
            )
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            if len(taken) < 2:
                taken.append(parameter)
            elif parameter.default is _NOTHING:
                raise TypeError(
                    f"{what} takes more than (ctx, input): there is nothing for "
                    f"'{parameter.name}'; put several values into one input, a dataclass say"
                )
    return taken


def _refuse_input_first(first: inspect.Parameter, what: str) -> None:
    """A workflow always gets its context first; `greet(name: str)` would get it as the name."""
    annotation = _annotation_name(first.annotation)
    if first.name.startswith("_") or annotation in ("", "Any", "object"):
        return
    words = f"{first.name} {annotation}".lower()
    if "ctx" not in words and "context" not in words:
        raise TypeError(
            f"the first parameter of {what} is its context, but '{first.name}' is declared "
            f"{annotation}; write (ctx, {first.name}: {annotation})"
        )


def _is_context(parameter: inspect.Parameter) -> bool:
    return (
        parameter.name in _CONTEXT_NAMES or _annotation_name(parameter.annotation) in _CONTEXT_TYPES
    )


def _annotation_name(annotation: Any) -> str:
    """The last name of an annotation, which may be a string that cannot be resolved (yet)."""
    if annotation is _NOTHING:
        return ""
    if isinstance(annotation, str):
        return annotation.strip().strip("'\"").rpartition(".")[2]
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def style_of(fn: Callable[..., Any], what: str) -> Style:
    """Raises `TypeError` for an async generator, which is neither style."""
    for candidate in _layers(fn):
        if inspect.isasyncgenfunction(candidate):
            raise TypeError(
                f"{what} is `async def` with a `yield`; await its calls instead (async style), "
                "or drop the `async` (generator style)"
            )
        if inspect.iscoroutinefunction(candidate):
            return Style.ASYNC
        if inspect.isgeneratorfunction(candidate):
            return Style.GENERATOR
    return Style.PLAIN


def _layers(fn: Callable[..., Any]) -> Iterator[Any]:
    """`fn`, then what it wraps (partials, `functools.wraps`), the outermost first."""
    seen: set[int] = set()
    layer: Any = fn
    while layer is not None and id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        if isinstance(layer, functools.partial):
            layer = layer.func
        elif hasattr(layer, "__wrapped__"):
            layer = layer.__wrapped__
        elif hasattr(layer, "__code__") or isinstance(layer, type):
            return
        else:
            # An object with `__call__`; builtins end here, whose `__call__` has no code either.
            call = vars(type(layer)).get("__call__")
            layer = call if hasattr(call, "__code__") else None


def _innermost(fn: Callable[..., Any]) -> Any:
    *_, last = _layers(fn)
    return last


def hints_of(fn: Callable[..., Any], input_name: str | None, what: str) -> tuple[Any, Any]:
    """The resolved hints of input and output; `Any` where there is none. Raises `TypeError`."""
    inner = _innermost(fn)
    annotations: dict[str, Any] = dict(getattr(inner, "__annotations__", {}))
    wanted = {name: annotations[name] for name in (input_name, "return") if name in annotations}
    # Only these: the context's hint may well be importable for type checkers only.
    hints = {name: _resolve(inner, name, hint, what) for name, hint in wanted.items()}
    output = hints.get("return", Any)
    if inspect.isgeneratorfunction(inner):
        arguments = typing.get_args(output)
        output = arguments[2] if len(arguments) == 3 else Any
    return _known(hints.get(input_name or "", Any)), _known(output)


def _resolve(fn: Any, name: str, hint: Any, what: str) -> Any:
    holder = types.SimpleNamespace(__annotations__={name: hint})
    try:
        hints = typing.get_type_hints(
            holder, globalns=getattr(fn, "__globals__", {}), include_extras=True
        )
    except NameError as error:
        part = "result" if name == "return" else f"parameter '{name}'"
        raise TypeError(
            f"the hint {hint!r} of {what}, {part}, cannot be resolved: {error}; define or import "
            "it at module level, outside `if TYPE_CHECKING`"
        ) from error
    return hints[name]


def _known(hint: Any) -> Any:
    """`hint`, or `Any` if it says nothing about a payload."""
    silent = (object, type(None), typing.NoReturn, typing.Never)
    return Any if isinstance(hint, typing.TypeVar) or hint in silent else hint


def code_hash(fn: Callable[..., Any]) -> str:
    """A short hash of what the function does: equal in every process, other than line numbers.

    Empty if there is no bytecode to read. Another minor version of Python gives another hash.
    """
    code = getattr(_innermost(fn), "__code__", None)
    if code is None:
        return ""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(_constant(code))
    return digest.hexdigest()


def _constant(value: Any) -> bytes:
    """A constant of bytecode as bytes that do not depend on addresses or hash seeds."""
    if isinstance(value, types.CodeType):
        parts = [
            value.co_code,
            value.co_exceptiontable,
            repr((value.co_name, value.co_flags, value.co_argcount)).encode(),
            repr((value.co_posonlyargcount, value.co_kwonlyargcount)).encode(),
            repr((value.co_names, value.co_varnames)).encode(),
            repr((value.co_freevars, value.co_cellvars)).encode(),
            *[_constant(const) for const in value.co_consts],
        ]
        return _joined(b"code", parts)
    if isinstance(value, tuple):
        return _joined(b"tuple", [_constant(item) for item in value])
    if isinstance(value, frozenset):
        return _joined(b"frozenset", sorted(_constant(item) for item in value))
    return _joined(type(value).__name__.encode(), [repr(value).encode()])


def _joined(kind: bytes, parts: list[bytes]) -> bytes:
    return kind + b"(" + b"".join(b"%d:%b" % (len(part), part) for part in parts) + b")"
