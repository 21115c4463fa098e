"""What is installed only on request, and how it is had. An edge module."""

from __future__ import annotations

from importlib.util import find_spec

from perdure.runtime.config import ConfigError
from perdure.runtime.workflow.spans import Tracer

_GRPC = {"grpc": "grpcio", "google.protobuf": "protobuf"}
"""Modules, and the packages that they are in."""


def require_grpc(what: str) -> None:
    """Raise `ConfigError` if the packages of `perdure[grpc]`, which `what` needs, are not there."""
    missing = [package for module, package in _GRPC.items() if not _is_there(module)]
    if missing:
        raise ConfigError(
            f"{what} needs {' and '.join(missing)}, not installed here: pip install 'perdure[grpc]'"
        )


def tracer_if_there() -> Tracer | None:
    """What makes spans, if the package of `perdure[otel]` is installed."""
    if not _is_there("opentelemetry.trace"):
        return None
    from perdure.runtime.tracing import OpenTelemetryTracer

    return OpenTelemetryTracer()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # Not even the package around it.
        return False
