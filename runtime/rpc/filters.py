"""Which names a worker may announce as its own. A value module.

Only Microsoft's workers announce any. Of what all others have nothing is known: a name that a node
has too is run there. Who was there first does not matter: a worker that announces what a node has
is refused when it comes, and when the node comes.
"""

from __future__ import annotations

from collections.abc import Collection

from grpc import StatusCode

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.statuses import RpcRefused


def check_filters(request: pb.GetWorkItemsRequest, hosted: Collection[str]) -> None:
    """Raise `RpcRefused` for filters that cannot be served.

    `hosted` are the names that nodes of the app have the code of, as in `nodes.hosted_types`.
    """
    filters = request.workItemFilters
    for kind, wanted in (("workflow", filters.orchestrations), ("activity", filters.activities)):
        for each in wanted:
            if f"{kind}:{each.name}" in hosted:
                raise RpcRefused(
                    StatusCode.FAILED_PRECONDITION,
                    f"{kind} '{each.name}' is in the app of a node, and announced by this worker: "
                    "its code must be in one place only",
                )
            if each.versions:
                raise RpcRefused(
                    StatusCode.UNIMPLEMENTED,
                    f"the filter of {kind} '{each.name}' names versions: work is handed out by "
                    "name here; leave the versions out, and let the worker abandon what it lacks",
                )
