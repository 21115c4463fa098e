"""Every setting of a node, with its default and its checks. A value module, but for `load`.

Units stand last in the names: `…_seconds`, `…_bytes`. In text (environment, TOML, flags) a duration
may be written `5s` or `1h30m`, and a size `4MiB`.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

KIB = 1 << 10
MIB = 1 << 20


class ConfigError(ValueError):
    """A setting is unknown or has an unusable value; the text names it."""


class Durability(StrEnum):
    """What a commit waits for: FULL survives a power cut, NORMAL only a crash of the process."""

    FULL = "full"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The settings of one node. Raises `ConfigError` if they do not go together."""

    app_id: str = "default"
    host: str = "127.0.0.1"
    port: int = 3500
    """0 takes any free port."""
    api_token: str | None = field(default=None, repr=False)
    """Asked of every client in the header `dapr-api-token`."""
    api_token_previous: str | None = field(default=None, repr=False)
    """Accepted as well, while the clients change over to a new `api_token`."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that clients may call this node by while it listens on loopback."""
    insecure: bool = False
    """Listen beyond this machine without a token."""
    log_level: str = "info"

    store: Path = Path("perdure.db")
    durability: Durability = Durability.FULL
    batch_units: int = 256
    """Turns in one transaction, at most; `batch_bytes` bounds their payloads."""
    batch_bytes: int = 4 * MIB

    slots: int = 256
    lease_seconds: float = 5.0
    """A node that is not heard of for this long is taken for dead by the others."""
    drain_seconds: float = 10.0
    """How long running activities, and requests, may go on after a request to stop."""
    recovery_scan_seconds: float = 10.0
    reminder_horizon_seconds: float = 60.0
    """Timers that are due later than this stay in the database."""

    mailbox_limit: int = 1000
    calls_max: int = 20_000
    """Calls that wait in all mailboxes together."""
    live_actors_max: int = 4096
    idle_seconds: float = 60.0
    block_warn_seconds: float = 0.5
    """A turn that takes longer is logged: it holds up all others."""

    connections_max: int = 10_000
    """Open HTTP connections."""
    max_body_bytes: int = 4 * MIB
    payload_bytes_max: int = 2 * MIB
    custom_status_bytes_max: int = 16 * KIB
    history_events_warn: int = 10_000
    history_events_max: int = 50_000
    history_bytes_max: int = 64 * MIB

    activity_concurrency: int = 1000
    activity_threads: int = field(default_factory=lambda: min(32, (os.cpu_count() or 1) + 4))
    """Threads for activities that are plain functions."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_value(setting.name, str(setting.type), getattr(self, setting.name))
        _check_relations(self)
        _check_tokens(self)
        _check_exposure(self)

    @property
    def api_tokens(self) -> tuple[str, ...]:
        """The tokens that clients may show; none if none is asked for."""
        return tuple(token for token in (self.api_token, self.api_token_previous) if token)

    @property
    def heartbeat_seconds(self) -> float:
        """At least four heartbeats a lease, so that one that is late does no harm."""
        return self.lease_seconds / 5


_FROM_ZERO = frozenset({"port", "drain_seconds"})
_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "Path": (Path,),
    "Durability": (Durability,),
    "tuple[str, ...]": (tuple,),
}


def _check_value(name: str, kind: str, value: Any) -> None:
    """Type and range of one setting by itself."""
    fits = isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
    if isinstance(value, tuple):
        fits = fits and all(isinstance(part, str) and part for part in value)
    if not fits:
        raise ConfigError(f"{name} must be of type {kind}, found {value!r}")
    if kind not in ("int", "float"):
        return
    if not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, found {value}")
    if name in _FROM_ZERO:
        if value < 0:
            raise ConfigError(f"{name} must not be negative, found {value}")
    elif value <= 0:
        raise ConfigError(f"{name} must be above 0, found {value}")


def _check_relations(config: NodeConfig) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", config.app_id):
        raise ConfigError(
            "app_id must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or "
            f"digit, found {config.app_id!r}"
        )
    if config.port > 65_535:
        raise ConfigError(f"port must be at most 65535, found {config.port}")
    if config.slots > 65_536:
        raise ConfigError(f"slots must be at most 65536, found {config.slots}")
    if config.log_level not in _LOG_LEVELS:
        levels = ", ".join(_LOG_LEVELS)
        raise ConfigError(f"log_level must be one of {levels}, found {config.log_level!r}")
    if config.block_warn_seconds >= config.lease_seconds:
        raise ConfigError(
            f"block_warn_seconds ({config.block_warn_seconds}) must be below lease_seconds "
            f"({config.lease_seconds}): a turn that long costs the node its lease"
        )
    for smaller, larger, why in (
        ("custom_status_bytes_max", "payload_bytes_max", "a status is a payload too"),
        ("payload_bytes_max", "max_body_bytes", "a larger payload could not be sent"),
        ("payload_bytes_max", "history_bytes_max", "a history holds more than one payload"),
        ("history_events_warn", "history_events_max", "the warning comes before the limit"),
        ("mailbox_limit", "calls_max", "one mailbox is part of all"),
    ):
        low, high = getattr(config, smaller), getattr(config, larger)
        if low > high:
            raise ConfigError(f"{smaller} ({low}) must not be above {larger} ({high}): {why}")


def _check_tokens(config: NodeConfig) -> None:
    for name in ("api_token", "api_token_previous"):
        token = getattr(config, name)
        if token is not None and not re.fullmatch("[!-~]+", token):
            raise ConfigError(f"{name} must be printable ASCII without spaces, and not empty")
    if config.api_token_previous and not config.api_token:
        raise ConfigError("api_token_previous is set, but not the api_token that follows it")


def _check_exposure(config: NodeConfig) -> None:
    """Whoever can reach the port can run workflows: beyond this machine only with a token."""
    if config.insecure or config.api_token or _is_loopback(config.host):
        return
    raise ConfigError(
        f"host {config.host!r} can be reached from other machines, and there is no api_token: set "
        "PERDURE_API_TOKEN (or DAPR_API_TOKEN), or bind to 127.0.0.1, or allow it with insecure"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


PREFIX = "PERDURE_"
_NO_SETTINGS = frozenset({"PERDURE_URL"})
"""Variables of the clients, which may be set where a node starts."""


def load(
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    toml_path: Path | None = None,
) -> NodeConfig:
    """Settings by flag, else by `PERDURE_*`, else by the TOML file, else by default.

    `flags` go by the names of the settings; None stands for a flag that was not given. `env` is the
    process's own environment if not given; an empty variable counts as not set. Raises
    `ConfigError`.
    """
    found: dict[str, Any] = {}
    if toml_path is not None:
        found.update(_from_toml(toml_path))
    found.update(_from_env(os.environ if env is None else env))
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
        if isinstance(value, dict):
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


def _durability(text: str) -> Durability:
    try:
        return Durability(text.lower())
    except ValueError as error:
        raise ValueError(f"expected full or normal, found {text!r}") from error


_READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "str | None": _optional,
    "int": _whole,
    "bool": _flag,
    "Path": Path,
    "Durability": _durability,
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
