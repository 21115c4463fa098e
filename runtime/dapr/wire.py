"""JSON text as Dapr's Python SDK writes and reads it. A value module.

Dataclasses, namedtuples and namespaces are written with a marker and come back as
`SimpleNamespace`; pydantic models are written plainly and come back where a parameter asks for one.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from types import SimpleNamespace
from typing import Any

import msgspec

MARKER = "__durabletask_autoobject__"


def to_json(value: Any) -> str | None:
    """The text of `value`; None has none. Raises `TypeError` for what JSON cannot say."""
    if value is None:
        return None
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = {**value._asdict(), MARKER: True}
    return json.dumps(value, default=_to_plain)


def from_json(text: str) -> Any:
    """The value of a text. No text at all is no value, as an empty HTTP body gives it."""
    return json.loads(text, object_hook=_revived) if text else None


def raw(value: Any) -> msgspec.Raw | None:
    """`value` in a form that the engine and its clients take over as it is."""
    text = to_json(value)
    return None if text is None else msgspec.Raw(text)


class Wire:
    """The hint of payloads that are read by `from_json`."""

    __from_json__ = staticmethod(from_json)


def _to_plain(value: Any) -> Any:
    if is_model(type(value)):
        return _dumped(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {**dataclasses.asdict(value), MARKER: True}
    if isinstance(value, SimpleNamespace):
        return {**vars(value), MARKER: True}
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _revived(fields: dict[str, Any]) -> Any:
    return SimpleNamespace(**fields) if fields.pop(MARKER, False) else fields


# ---- models


def is_model(kind: Any) -> bool:
    """Has a class the shape of a pydantic model? By its methods: pydantic may not be installed."""
    return (
        isinstance(kind, type)
        and callable(getattr(kind, "model_dump", None))
        and callable(getattr(kind, "model_validate", None))
    )


def _dumped(model: Any) -> Any:
    parameters = inspect.signature(type(model).model_dump).parameters
    any_keyword = any(it.kind is it.VAR_KEYWORD for it in parameters.values())
    # In JSON's own terms, if it can: a date becomes text.
    return (
        model.model_dump(mode="json") if "mode" in parameters or any_keyword else model.model_dump()
    )


def as_model(value: Any, model: type | None) -> Any:
    """A decoded payload as the model that a parameter is annotated with, if it is."""
    if value is None or model is None or isinstance(value, model):
        return value
    if isinstance(value, SimpleNamespace):
        value = vars(value)
    if not isinstance(value, dict):
        raise TypeError(
            f"the input is {type(value).__name__}, but the parameter wants a {model.__name__}: "
            "only an object can become a model"
        )
    return model.model_validate(value)  # type: ignore[attr-defined]
