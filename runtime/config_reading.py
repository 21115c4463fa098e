"""Reads the settings of a node from flags, environment and TOML. An edge module.

In text a duration may be written `5s` or `1h30m`, and a size `4MiB`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from perdure.runtime.config import (
    FROM_ZERO,
    KIB,
    MIB,
    ConfigError,
    Durability,
    NodeConfig,
    WorkerDialect,
)

PREFIX = "PERDURE_"
_NO_SETTINGS = frozenset({"PERDURE_URL"})
"""Variables of the clients, which may be set where a node starts."""


def load(
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    toml_path: Path | None = None,
    defaults: Mapping[str, Any] | None = None,
    *,
    in_place_of_sidecar: bool = False,
) -> NodeConfig:
    """Settings by flag, else by `PERDURE_*`, else by the TOML file, else by default.

    `flags` go by the names of the settings; None stands for a flag that was not given. `env` is the
    process's own environment if not given; an empty variable counts as not set. `defaults` stand
    in for those of `NodeConfig`. `in_place_of_sidecar`: DAPR_HTTP_PORT and DAPR_GRPC_PORT, by which
    programs find Dapr, are ports of this node. Raises `ConfigError`.
    """
    found: dict[str, Any] = dict(defaults or {})
    if toml_path is not None:
        found.update(_from_toml(toml_path))
    env = os.environ if env is None else env
    if in_place_of_sidecar:
        found.update(_ports_of_sidecar(env))
    found.update(_from_env(env))
    for name, value in (flags or {}).items():
        if value is not None:
            flag = "--" + name.replace("_", "-")
            found[name] = _read(_known(name, flag, "--"), value, flag)
    return NodeConfig(**found)


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if env.get("DAPR_API_TOKEN"):
        found["api_token"] = env["DAPR_API_TOKEN"].strip()
    for variable in sorted(env):
        if variable.startswith(PREFIX) and variable not in _NO_SETTINGS:
            name = _known(variable.removeprefix(PREFIX).lower(), variable, PREFIX)
            if env[variable].strip():
                found[name] = _read(name, env[variable], variable)
    return found


def _ports_of_sidecar(env: Mapping[str, str]) -> dict[str, Any]:
    variables = {"port": "DAPR_HTTP_PORT", "grpc_port": "DAPR_GRPC_PORT"}
    return {
        name: _read(name, env[variable], variable)
        for name, variable in variables.items()
        if env.get(variable, "").strip()
    }


def _from_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict) and _kinds().get(key) != "Mapping[str, int]":
            raise ConfigError(f"{path}: settings stand at the top level, found the table [{key}]")
        place = f"{path}: {key}"
        found[key] = _read(_known(key, place), value, place)
    return found


def _known(name: str, shown: str, prefix: str = "") -> str:
    """`name`, or an error that proposes the nearest setting as one would write it there."""
    known = _kinds()
    if name in known:
        return name
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    if not near:
        raise ConfigError(f"{shown} is not a setting; the settings are {', '.join(known)}")
    proposal = {PREFIX: near[0].upper(), "--": near[0].replace("_", "-")}.get(prefix, near[0])
    raise ConfigError(f"{shown} is not a setting; did you mean {prefix}{proposal}?")


def _kinds() -> dict[str, str]:
    return {setting.name: str(setting.type) for setting in fields(NodeConfig)}


def _read(name: str, value: Any, source: str) -> Any:
    """A value in the type of its setting; text is parsed, anything else is checked later."""
    kind = _kinds()[name]
    if kind == "tuple[str, ...]" and isinstance(value, list):
        return tuple(value)
    if kind == "int | None" and name not in FROM_ZERO and value in (0, "0"):
        return None  # As in Dapr: no limit.
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return _reader(name, kind)(text)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error


def _reader(name: str, kind: str) -> Callable[[str], Any]:
    if name.endswith("_seconds"):
        return _duration
    if "_bytes" in name:
        return _size
    return _READERS[kind]


def _optional(text: str) -> str | None:
    return text or None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _limits(text: str) -> dict[str, int]:
    """`charge=5,ship=10`"""
    pairs = [part.partition("=") for part in _names(text)]
    return {name.strip(): _whole(number.strip()) for name, _, number in pairs}


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"expected a whole number, found {text!r}") from error


def _flag(text: str) -> bool:
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off", ""):
        return False
    raise ValueError(f"expected true or false, found {text!r}")


def _one_of(choices: type[StrEnum]) -> Callable[[str], StrEnum]:
    def read(text: str) -> StrEnum:
        try:
            return choices(text.lower())
        except ValueError as error:
            raise ValueError(_no_choice(text, [str(choice) for choice in choices])) from error

    return read


def _no_choice(text: str, choices: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(text.lower(), choices, n=1)
    step = f"; did you mean {near[0]}?" if near else ""
    return f"expected {', '.join(choices[:-1])} or {choices[-1]}, found {text!r}{step}"


_READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "str | None": _optional,
    "int": _whole,
    "int | None": _whole,
    "Mapping[str, int]": _limits,
    "bool": _flag,
    "Path": Path,
    "Durability": _one_of(Durability),
    "WorkerDialect": _one_of(WorkerDialect),
    "tuple[str, ...]": _names,
}


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9} | {
    "kib": KIB,
    "mib": MIB,
    "gib": 1 << 30,
}


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text.replace("_", ""))
    factor = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"expected a size like 4194304, 4MiB or 4MB, found {text!r}")
    return round(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _duration(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"expected a duration like 5, 5s, 500ms or 1h30m, found {text!r}")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
