"""The settings with which `perdure serve` runs a node, with an app or without. An edge module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.runtime.config import NodeConfig
from perdure.runtime.config_reading import load
from perdure.runtime.extras import require_grpc

SIDECAR_PORT = 50001
"""Where programs for Dapr's SDKs look for their sidecar, if nothing else is said."""


def node_config(
    app: str | None,
    flags: Mapping[str, Any],
    config_path: Path | None,
    defaults: Mapping[str, Any] | None = None,
) -> NodeConfig:
    """By flags, environment and file. Raises `ConfigError`.

    Without an app the node is there for the workers of other processes, in the place of Dapr's
    sidecar. With one, Dapr itself may run beside it: then its variables are not about this node.
    """
    if app is None:
        defaults = {"grpc_port": SIDECAR_PORT, **(defaults or {})}
    config = load(flags, toml_path=config_path, defaults=defaults, in_place_of_sidecar=app is None)
    if app is None:
        require_grpc("`perdure serve` without APP, for workers in other processes,")
    elif config.grpc_port is not None:
        require_grpc(f"grpc_port {config.grpc_port}")
    return config
