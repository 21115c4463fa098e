"""`WorkflowRuntime`: workflows and activities register here, and it runs them. An owner module."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar, overload

from perdure.runtime.config import NodeConfig
from perdure.runtime.config_reading import load
from perdure.runtime.dapr.address import address_of, http_port
from perdure.runtime.dapr.background import RUNNING, BackgroundNode
from perdure.runtime.dapr.definitions import activity_definition, workflow_definition
from perdure.runtime.dapr.naming import claim_name
from perdure.runtime.workflow.registry import REGISTRY, Registry

Fn = TypeVar("Fn", bound=Callable[..., Any])


class WorkflowRuntime:
    """Runs a perdure node in this process, on a thread of its own, from `start` to `shutdown`.

    The node serves the HTTP API too, so that clients in other processes find it. `perdure serve`
    takes a module that holds a runtime, without `start`.

    Args:
        host: With `port`, the address of the sidecar that would be there in Dapr: clients of the
            same address meet this runtime.
        port: See `host`.
        logger_options: Not used: configure the logger `perdure`.
        interceptors: Not used: there are no gRPC calls.
        store: The database file; PERDURE_STORE, or perdure.db, if not given.
        config: All settings; from `PERDURE_*` variables if not given. The port of the HTTP API is
            PERDURE_PORT, else DAPR_HTTP_PORT, else 3500.
        maximum_concurrent_activity_work_items: How many activities run at the same time.
        maximum_thread_pool_workers: Threads for activities that are plain functions.
        unused: The other options of Dapr's SDK, which are about its connection.
    """

    def __init__(
        self,
        host: str | None = None,
        port: str | int | None = None,
        logger_options: Any = None,
        interceptors: Any = None,
        *,
        store: str | Path | None = None,
        config: NodeConfig | None = None,
        maximum_concurrent_activity_work_items: int | None = None,
        maximum_thread_pool_workers: int | None = None,
        **unused: Any,
    ) -> None:
        if unknown := unused.keys() - _UNUSED:
            raise TypeError(f"WorkflowRuntime has no option {', '.join(sorted(unknown))}")
        self._address = address_of(host, port, os.environ)
        self._config = config
        self._flags = {
            "store": None if store is None else Path(store),
            "activity_concurrency": maximum_concurrent_activity_work_items,
            "activity_threads": maximum_thread_pool_workers,
        }
        self._registry = Registry()
        setattr(self, REGISTRY, self._registry)  # `perdure serve` looks for it in a module.
        self._registered: dict[int, Callable[..., Any]] = {}
        self._node: BackgroundNode | None = None

    # ---- registering

    def register_workflow(self, fn: Callable[..., Any], *, name: str | None = None) -> None:
        """Register a workflow under `name`, or its function's own."""
        chosen = self._claim(fn, name, "Workflow")
        if self._registry.workflow(chosen) is not None:
            raise ValueError(f"A '{chosen}' orchestrator already exists.")
        self._registry.add(workflow_definition(fn, chosen))

    def register_versioned_workflow(
        self,
        fn: Callable[..., Any],
        *,
        name: str,
        version_name: str | None = None,
        is_latest: bool,
    ) -> None:
        """Register one of several versions of a workflow. New instances run the latest one."""
        chosen = self._claim(fn, name, "Workflow")
        version = version_name or fn.__name__
        if version in self._registry.versions(chosen):
            raise ValueError(f"The version '{version}' of '{chosen}' orchestrator already exists.")
        definition = workflow_definition(fn, chosen, version=version, latest=is_latest)
        if is_latest:
            self._registry.succeed(definition)
        else:
            self._registry.add(definition)

    def register_activity(self, fn: Callable[..., Any], *, name: str | None = None) -> None:
        """Register an activity, `def` or `async def`, under `name`, or its function's own."""
        chosen = self._claim(fn, name, "Activity")
        if self._registry.activity(chosen) is not None:
            raise ValueError(f"A '{chosen}' activity already exists.")
        self._registry.add(activity_definition(fn, chosen))

    def _claim(self, fn: Callable[..., Any], name: str | None, kind: str) -> str:
        chosen = claim_name(fn, name, kind)
        if id(fn) in self._registered:
            raise ValueError(f"{kind} {fn.__name__} already registered as {chosen}")
        self._registered[id(fn)] = fn
        return chosen

    @overload
    def workflow(self, fn: Fn, /) -> Fn: ...
    @overload
    def workflow(self, /, *, name: str | None = None) -> Callable[[Fn], Fn]: ...
    def workflow(
        self, fn: Fn | None = None, /, *, name: str | None = None
    ) -> Fn | Callable[[Fn], Fn]:
        """Decorator of `register_workflow`; the function itself stays as it is."""

        def register(fn: Fn) -> Fn:
            self.register_workflow(fn, name=name)
            return fn

        return register if fn is None else register(fn)

    @overload
    def versioned_workflow(
        self, fn: Fn, /, *, name: str, version_name: str | None = None, is_latest: bool
    ) -> Fn: ...
    @overload
    def versioned_workflow(
        self, /, *, name: str, version_name: str | None = None, is_latest: bool
    ) -> Callable[[Fn], Fn]: ...
    def versioned_workflow(
        self,
        fn: Fn | None = None,
        /,
        *,
        name: str,
        version_name: str | None = None,
        is_latest: bool,
    ) -> Fn | Callable[[Fn], Fn]:
        """Decorator of `register_versioned_workflow`; the function itself stays as it is."""

        def register(fn: Fn) -> Fn:
            self.register_versioned_workflow(
                fn, name=name, version_name=version_name, is_latest=is_latest
            )
            return fn

        return register if fn is None else register(fn)

    @overload
    def activity(self, fn: Fn, /) -> Fn: ...
    @overload
    def activity(self, /, *, name: str | None = None) -> Callable[[Fn], Fn]: ...
    def activity(
        self, fn: Fn | None = None, /, *, name: str | None = None
    ) -> Fn | Callable[[Fn], Fn]:
        """Decorator of `register_activity`; the function itself stays as it is."""

        def register(fn: Fn) -> Fn:
            self.register_activity(fn, name=name)
            return fn

        return register if fn is None else register(fn)

    # ---- running

    def start(self) -> None:
        """Start the node, and return once it works.

        Functions may still be registered afterwards. Raises what `perdure.Node` raises on entering.
        """
        if self._node is not None:
            raise RuntimeError("The worker is already running.")
        node = BackgroundNode(self._registry, self._settings())
        RUNNING.add(self._address, node)
        with ExitStack() as undo:
            undo.callback(RUNNING.remove, self._address)
            node.start()
            undo.pop_all()
        self._node = node

    def _settings(self) -> NodeConfig:
        given: dict[str, Any] = {
            name: value for name, value in self._flags.items() if value is not None
        }
        if self._config is not None:
            return dataclasses.replace(self._config, **given)
        return load({"port": http_port(os.environ), **given})

    def wait_for_worker_ready(self, timeout: float = 30.0) -> bool:
        """Whether the runtime works; `start` has waited for that already."""
        return self._node is not None

    def shutdown(self) -> None:
        """Let running activities end, and stop the node. The rest goes on at the next start."""
        node, self._node = self._node, None
        if node is None:
            return
        if node.is_own_thread:
            raise RuntimeError("a workflow or an async activity cannot shut its own runtime down")
        RUNNING.remove(self._address)
        node.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._node is None else "running"
        return f"<WorkflowRuntime {self._address} {state} {self._registry!r}>"


_UNUSED = frozenset(
    {
        "maximum_concurrent_orchestration_work_items",
        "worker_ready_timeout",
        "max_grpc_message_length",
        "disable_stateful_history",
        "history_cache_ttl",
        "history_cache_max_instances",
        "history_cache_max_bytes",
    }
)
