"""What each node may run of what all nodes of its app may run together. A value module.

Every node comes to the same shares from the same rows. A share of a name goes only to who can use
it: has its code, and may run anything at all. Else it would lie idle, and with a small limit the
name would never run. What is run by workers falls to every node that they may connect to, and to
each at least once, as in Dapr: where a worker will be is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.actors.gate import Limits, part_of
from perdure.placement.membership import NodeRecord
from perdure.runtime.workflow.workers.work import WORKERS


def share_of(node: NodeRecord, up: Sequence[NodeRecord], limits: Limits) -> Limits:
    """The limits of one of the nodes that are up; nothing for any other."""
    # Who has most code comes first: where the limit is below the number of nodes, those that lack
    # something (a deployment is under way) get nothing, and not those that have all.
    ranked = sorted(up, key=lambda other: (-len(other.identity.hosted_types), other.membership))
    memberships = [other.membership for other in ranked]
    if node.membership not in memberships:
        return Limits(0)
    rank = memberships.index(node.membership)
    total = limits.total
    working = ranked if total is None else ranked[:total]
    serves_workers = WORKERS in node.identity.hosted_types
    by_name = {}
    for offset, (name, limit) in enumerate(sorted(limits.by_name.items())):
        able = [o.membership for o in working if f"activity:{name}" in o.identity.hosted_types]
        if node.membership in able:
            # The names begin with different nodes: limits of one do not all fall to the same.
            place = (able.index(node.membership) + offset) % len(able)
            by_name[name] = part_of(limit, place, len(able))
        elif able:
            by_name[name] = 0
        elif serves_workers:
            by_name[name] = max(part_of(limit, rank, len(ranked)), 1)
        # Nobody has its code: it runs into its failure, for which there is no limit.
    own = None if total is None else max(part_of(total, rank, len(ranked)), int(serves_workers))
    return Limits(own, by_name)
