"""The operations on the cluster: who is in it, and draining one of its nodes. An edge module."""

from __future__ import annotations

from aiohttp import web

from perdure.runtime.api import answers
from perdure.runtime.api import parameters as p
from perdure.runtime.api.call import Call, answer
from perdure.runtime.api.errors import HttpRefused, Refusal
from perdure.runtime.api.ports import ApiNode, ClusterStatus, NodeFacts, NodeNotFound

NODE_NOT_FOUND = "ERR_NODE_NOT_FOUND"


class ClusterHandlers:
    """One method per operation."""

    def __init__(self, node: ApiNode) -> None:
        self._node = node

    async def get(self, call: Call) -> web.Response:
        return answer(200, _cluster(await self._node.cluster()))

    async def drain(self, call: Call) -> web.Response:
        try:
            await self._node.drain_node(call.read(p.NODE_ID))
        except NodeNotFound as error:
            raise HttpRefused(Refusal(404, NODE_NOT_FOUND, str(error))) from error
        return answer(202, answers.Nothing())


def _cluster(status: ClusterStatus) -> answers.Cluster:
    return answers.Cluster(
        cluster_id=status.cluster_id,
        version=status.version,
        lease_seconds=status.lease_seconds,
        nodes=[_node(facts) for facts in status.nodes],
        missing_workers=list(status.missing_workers),
    )


def _node(facts: NodeFacts) -> answers.ClusterNode:
    return answers.ClusterNode(
        node_id=facts.node_id,
        pid=facts.pid,
        address=facts.address,
        peer_address=facts.peer_address,
        app_id=facts.app_id,
        state=facts.state,
        generation=facts.generation,
        slots=facts.slots,
        activations=facts.activations,
        activities_running=facts.activities_running,
        activities_waiting=facts.activities_waiting,
        lease_age_seconds=facts.lease_age_seconds,
        workflows=list(facts.workflows),
        activities=list(facts.activities),
        missing=list(facts.missing),
        is_self=facts.is_self,
    )
