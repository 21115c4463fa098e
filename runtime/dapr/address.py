"""Where a program written for Dapr's SDK thinks that its sidecar is. A value module.

There is no sidecar. Its address is what a `WorkflowRuntime` and a `DaprWorkflowClient` in the same
process find each other by; a client with no runtime at its address looks for a node's HTTP API.
"""

from __future__ import annotations

from collections.abc import Mapping

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
_HOST = "127.0.0.1"


def address_of(host: str | None, port: str | int | None, env: Mapping[str, str]) -> str:
    """The gRPC address, from the arguments, else as Dapr's SDK reads it from the environment."""
    endpoint = env.get("DAPR_GRPC_ENDPOINT")
    if endpoint and not host and not port:
        host, _, found = endpoint.rpartition("://")[2].rstrip("/").rpartition(":")
        if not host:
            host, found = found, "443"
        port = found
    host = host or env.get("DAPR_RUNTIME_HOST") or _HOST
    return f"{_HOST if host in _LOOPBACK else host}:{port or env.get('DAPR_GRPC_PORT') or 50001}"


def url_of(host: str | None, env: Mapping[str, str]) -> str:
    """The URL of the HTTP API for a client whose node is not in its process."""
    given = env.get("PERDURE_URL") or env.get("DAPR_HTTP_ENDPOINT")
    if given:
        return given
    host = host or env.get("DAPR_RUNTIME_HOST") or _HOST
    return f"http://{host}:{http_port(env) or 3500}"


def http_port(env: Mapping[str, str]) -> str | None:
    """The port of the HTTP API that the environment names, in perdure's words or in Dapr's."""
    return env.get("PERDURE_PORT") or env.get("DAPR_HTTP_PORT") or None
