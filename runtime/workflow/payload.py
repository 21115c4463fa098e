"""Payloads: Python values to JSON text and back, by type hints. A value module.

No value is no payload: `encode(None)` is None, and both None and `null` decode to None whatever the
hint, as with Dapr's SDKs. Without a hint a payload decodes to plain JSON values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any, TypeAlias

import msgspec

from perdure.actors.errors import Refused

Json: TypeAlias = Any
"""A value of the user's: whatever JSON text can become."""

OWN_READER = "__from_json__"
"""Attribute of a hint that reads JSON text in a way of its own. Raises `ValueError`."""


class PayloadError(Refused):
    """A value cannot be written as JSON text, or text does not fit the hint of its receiver."""


@dataclass(frozen=True, slots=True)
class PayloadLimits:
    """How much text a workflow may hand over. They count as code: a replay meets the same ones."""

    payload_bytes_max: int = 2 << 20
    custom_status_bytes_max: int = 16 << 10


DEFAULT_LIMITS = PayloadLimits()


def check_size(text: str | None, bytes_max: int, what: str) -> None:
    """Raise `PayloadError` if `text` is longer than that."""
    # A character has at most four bytes: short texts need no counting.
    if text is None or len(text) * 4 <= bytes_max:
        return
    size = len(text.encode())
    if size > bytes_max:
        raise PayloadError(
            f"{what} has {size} bytes, the limit is {bytes_max}; "
            "hand over a reference to where the data is"
        )


def encode(value: Json, what: str = "payload") -> str | None:
    """The JSON text of `value`; None stays None. `what` names the payload in an error."""
    if value is None:
        return None
    try:
        encoded = _encode(value)
        if b"null" in encoded:
            _refuse_non_finite(value)
    except RecursionError as error:
        raise PayloadError(
            f"{what} cannot be stored as JSON: it is nested too deeply, or contains itself"
        ) from error
    except UnicodeEncodeError as error:
        raise PayloadError(f"{what} cannot be stored as JSON: text with lone surrogates") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise PayloadError(f"{what} cannot be stored as JSON: {error}") from error
    return encoded.decode()


def decode(text: str | None, hint: Any = Any, what: str = "payload") -> Json:
    """The value of JSON `text` as `hint` wants it. `what` names the payload in an error."""
    if text is None or text in ("null", ""):
        return None  # An empty request body is the empty string, as in Dapr; it says nothing.
    try:
        return _decoder(hint)(text)
    except msgspec.ValidationError as error:
        raise PayloadError(_misfit(str(error), hint, what)) from error
    except RecursionError as error:
        raise PayloadError(f"{what} cannot be read: it is nested too deeply") from error
    except (TypeError, ValueError) as error:
        raise PayloadError(f"{what} is not JSON text: {error}; it begins {text[:40]!r}") from error


def takes_none(hint: Any) -> bool:
    """Whether `hint` says that there may be no value."""
    try:
        _decoder(hint)("null")
    except (TypeError, ValueError):
        return False
    return True


def text(value: object, what: str) -> str:
    """`value`, if it is text that can be stored; `what` names it in the `PayloadError`."""
    if not isinstance(value, str):
        raise PayloadError(f"{what} must be text, found {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise PayloadError(f"{what} cannot be stored: {value!a} has lone surrogates") from error
    return value


def check_hint(hint: Any, what: str) -> None:
    """Raise `TypeError` if no payload can ever be decoded to `hint`."""
    try:
        _decoder(hint)
    except TypeError as error:
        raise TypeError(
            f"{what}: {error}; hint one of them, or tag the variants (msgspec.Struct with tag=True)"
        ) from error


def _refuse_non_finite(value: Any) -> None:
    """Raise `ValueError` for a NaN or an infinity, which msgspec would store as null."""
    plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_to_plain)
    try:
        _strict(plain)
    except ValueError as error:
        raise ValueError("JSON has no number for NaN and infinity; use None or text") from error


def _to_plain(value: Any) -> Any:
    """What msgspec should write in the place of a value whose type it does not know."""
    kind = type(value)
    if kind is msgspec.Raw:
        # Only `_refuse_non_finite` asks for it: the text that this function made of a model.
        return None
    if _is_model(kind):
        return (
            msgspec.Raw(value.model_dump_json().encode())
            if hasattr(kind, "model_dump_json")
            else value.model_dump()
        )
    if isinstance(value, SimpleNamespace):
        return vars(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, tuple):
        raise TypeError("found a tuple as key of a dict; the keys of JSON are text")
    if hasattr(value, "__await__"):
        raise TypeError(f"found {_type_name(kind)}, which has to be awaited first")
    raise TypeError(
        f"found {_type_name(kind)}; use a dict, list, str, number, dataclass, msgspec.Struct, "
        "attrs class or pydantic model, or convert it before"
    )


_encode = msgspec.json.Encoder(enc_hook=_to_plain).encode
_strict = json.JSONEncoder(allow_nan=False, check_circular=False).encode


@lru_cache(maxsize=1024)
def _cached_decoder(hint: Any) -> Callable[[str], Any]:
    return _new_decoder(hint)


def _decoder(hint: Any) -> Callable[[str], Any]:
    try:
        return _cached_decoder(hint)
    except TypeError:
        # Either the hint is not hashable (`Annotated` with a dict), or it is not decodable.
        return _new_decoder(hint)


def _new_decoder(hint: Any) -> Callable[[str], Any]:
    if hasattr(hint, OWN_READER):
        reader: Callable[[str], Any] = getattr(hint, OWN_READER)
        return reader
    if isinstance(hint, type) and _is_model(hint) and hasattr(hint, "model_validate_json"):
        # The model's own parser: it knows JSON's laxer forms (a date as text) in strict models too.
        return _model_decoder(hint)
    return msgspec.json.Decoder(hint, dec_hook=_from_plain).decode


def _model_decoder(model: Any) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return model.model_validate_json(text)
        except ValueError as error:
            path, problem = _model_problem(error)
            raise msgspec.ValidationError(f"{problem} - at `${path}`") from error

    return read


def _model_problem(error: ValueError) -> tuple[str, str]:
    """Where and what is wrong, of the first problem in a pydantic error; else its text."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return "", str(error)
    first = problems(include_url=False)[0]
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
    return path, f"{first['msg']}, found {first['input']!r:.80}"


def _from_plain(hint: Any, value: Any) -> Any:
    """A value of a type that msgspec does not know, from plain JSON values."""
    if hint is SimpleNamespace and isinstance(value, dict):
        return SimpleNamespace(**value)
    if not isinstance(hint, type):
        return value
    if _is_model(hint):
        try:
            return hint.model_validate(value)  # type: ignore[attr-defined]
        except ValueError as error:
            path, problem = _model_problem(error)
            raise ValueError(f"{path.lstrip('.')}: {problem}" if path else problem) from error
    if isinstance(value, hint):
        return value
    if issubclass(hint, PurePath) and isinstance(value, str):
        return hint(value)
    raise TypeError(
        f"JSON cannot become {_type_name(hint)}; hint a dataclass, msgspec.Struct, TypedDict, "
        "attrs class or pydantic model"
    )


def _type_name(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_model(kind: Any) -> bool:
    """Has `kind` the shape of a pydantic model? By its methods: pydantic may not be installed."""
    return hasattr(kind, "model_dump") and hasattr(kind, "model_validate")


_PLACE = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)


def _misfit(problem: str, hint: Any, what: str) -> str:
    place = _PLACE.search(problem)
    name = hint.__name__ if isinstance(hint, type) else str(hint)
    if place is None:
        return f"{what} does not fit {name}: {problem}"
    path = place["path"].lstrip(".")
    field = f"at {path}: " if path else ""
    return f"{what} does not fit {name}: {field}{problem[: place.start()]}"
