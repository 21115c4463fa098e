"""The operations on the node itself: health, metadata, shutdown. An edge module."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from perdure.runtime.api import answers
from perdure.runtime.api import parameters as p
from perdure.runtime.api.call import Call, answer, answer_nothing
from perdure.runtime.api.errors import HttpRefused, Refusal
from perdure.runtime.api.parsing import BAD_REQUEST
from perdure.runtime.api.ports import ApiConfig, ApiNode, NodeStatus
from perdure.runtime.workflow.errors import InvalidRequest
from perdure.runtime.workflow.messages import ACTIVITY, WORKFLOW

DAPR_VERSION = "1.18.0"
"""The release of Dapr whose API this is: clients parse `runtimeVersion` for what they may use."""

ENTRIES_MAX = 128
ENTRY_CHARACTERS_MAX = 64 * 1024
APP = "app"
"""The name of the user's code among the parts that may be unready."""


class NodeHandlers:
    """One method per operation. Owns the entries that clients add to the metadata."""

    def __init__(self, node: ApiNode) -> None:
        self._node = node
        self._config = node.api_config
        self._entries: dict[str, str] = {}

    async def health(self, call: Call) -> web.Response:
        asked = call.read(p.HEALTH_APP_ID)
        if asked and asked != self._config.app_id:
            code, text = "ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match"
            raise HttpRefused(Refusal(500, code, text))
        unready = self._node.status().unready
        if unready:
            text = f"dapr is not ready: [{' '.join(unready)}]"
            raise HttpRefused(Refusal(500, call.operation.code, text))
        return answer_nothing(204)

    async def outbound_health(self, call: Call) -> web.Response:
        if any(part != APP for part in self._node.status().unready):
            raise HttpRefused(Refusal(500, call.operation.code, "dapr outbound is not ready"))
        return answer_nothing(204)

    async def get_metadata(self, call: Call) -> web.Response:
        return answer(200, metadata(self._node.status(), self._config, self._entries))

    async def set_metadata(self, call: Call) -> web.Response:
        key, text = call.read(p.METADATA_KEY), await call.text()
        if len(key) + len(text) > ENTRY_CHARACTERS_MAX:
            raise InvalidRequest(
                BAD_REQUEST,
                f"a metadata entry has at most {ENTRY_CHARACTERS_MAX} characters, "
                f"this one {len(key) + len(text)}",
            )
        if key not in self._entries and len(self._entries) >= ENTRIES_MAX:
            raise InvalidRequest(
                BAD_REQUEST, f"there are {ENTRIES_MAX} metadata entries; no more are kept"
            )
        self._entries[key] = text
        return answer_nothing(204)

    async def shutdown(self, call: Call) -> web.Response:
        self._node.request_shutdown(force=call.read(p.FORCE_SHUTDOWN))
        return answer_nothing(204)


def metadata(
    status: NodeStatus, config: ApiConfig, entries: Mapping[str, str] | None = None
) -> answers.Metadata:
    """What a node tells about itself, with the `entries` of its clients."""
    version = f"{DAPR_VERSION}-perdure-{config.version}"
    active = _active(status.activations, config.app_id)
    ready = not any(part != APP for part in status.unready)
    return answers.Metadata(
        id=config.app_id,
        runtime_version=version,
        actors=active,
        extended={**(entries or {}), "daprRuntimeVersion": version},
        actor_runtime=answers.ActorRuntime(
            runtime_status="RUNNING" if ready else "INITIALIZING",
            active_actors=active,
            host_ready=ready,
            placement="placement: connected" if ready else "placement: disconnected",
        ),
        workflows=answers.WorkflowRuntime(connected_workers=int(status.hosts_app)),
        perdure=answers.Facts(
            version=config.version,
            node_id=status.node_id,
            store=status.store,
            durability=status.durability,
            sqlite_version=status.sqlite_version,
            degraded=status.degraded,
            stopping=status.stopping,
            cluster_id=status.cluster_id,
            generation=status.generation,
            nodes=status.nodes,
            slots=status.slots,
            peers=status.peers,
            placement_version=status.placement_version,
            missing=list(status.missing),
            missing_workers=list(status.missing_workers),
        ),
    )


def _active(activations: Mapping[str, int], app_id: str) -> list[answers.ActiveActors]:
    """Active actors by type; the engine's own types under the names that Dapr gives them."""
    dapr_names = {kind: f"dapr.internal.default.{app_id}.{kind}" for kind in (WORKFLOW, ACTIVITY)}
    return [
        answers.ActiveActors(type=dapr_names.get(kind, kind), count=count)
        for kind, count in sorted(activations.items())
    ]
