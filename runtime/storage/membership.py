"""Nodes and slots. Plain functions of a connection; an edge module.

Every change of a slot's owner raises its epoch and the placement version, which is what the cached
slots of a committing node are checked against.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from perdure.actors.errors import NodeFenced
from perdure.actors.ports import Fence
from perdure.placement.balance import moves
from perdure.placement.errors import ClusterSecretWrong, NodeIdTaken
from perdure.placement.membership import (
    ClusterView,
    Membership,
    NodeIdentity,
    NodeRecord,
    NodeState,
)
from perdure.placement.ports import HandOver, IsAlive, Joined, Secret
from perdure.placement.table import PlacementTable, SlotOwner
from perdure.runtime.workflow.history import Status

_COLUMNS = (
    "node_id, incarnation, generation, heartbeat, state, app_id, address, hosted_types, "
    "pid, started, boot_id, peer_address"
)
_NODES = f"SELECT {_COLUMNS} FROM nodes ORDER BY node_id"
_DIE = (
    "UPDATE nodes SET state = 'dead' WHERE node_id = ? AND generation = ? AND heartbeat = ? "
    "AND state IN ('joining', 'up', 'draining')"
)
# What is stalled has nothing running that could have killed the node.
_COUNT_ATTEMPT = (
    "UPDATE workflows SET attempts = attempts + 1 WHERE key IN ("
    "SELECT key FROM workflows WHERE has_work = 1 "
    "UNION SELECT key FROM reminders WHERE due_us <= ? "
    "UNION SELECT w.key FROM inbox i JOIN workflows w "
    "ON w.app_id = i.app_id AND w.instance_id = i.id WHERE i.type = 'workflow') "
    f"AND app_id = ? AND status <> {int(Status.STALLED)} AND slot IN "
    "(SELECT slot FROM slots WHERE app_id = ? AND owner = ? AND owner_generation = ?)"
)
# Told of once, by the join that found them; else a row would stay for every start of a node.
_FORGET = "DELETE FROM nodes WHERE state IN ('left', 'dead')"
_ENTER = f"INSERT OR REPLACE INTO nodes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CREATE_SLOT = "INSERT INTO slots VALUES (?, ?, ?, ?, 1)"
_GIVE = (
    "UPDATE slots SET owner = ?, owner_generation = ?, epoch = epoch + 1 "
    "WHERE app_id = ? AND slot = ? AND owner = ? AND owner_generation = ? AND epoch = ?"
)
FENCE = (
    "UPDATE nodes SET heartbeat = heartbeat + 1 WHERE node_id = ? AND incarnation = ? "
    "AND generation = ? AND state IN ('up', 'draining')"
)
_DRAIN = (
    "UPDATE nodes SET state = 'draining' WHERE node_id = ? AND incarnation = ? AND generation = ?"
)
_LEAVE = (
    "UPDATE nodes SET state = 'left' WHERE node_id = ? AND incarnation = ? AND generation = ? "
    "AND state IN ('up', 'draining')"
)
_SLOTS = "SELECT app_id, owner, owner_generation, epoch FROM slots ORDER BY app_id, slot"
_SLOTS_OF_ANY = "SELECT count(DISTINCT slot) FROM slots"
_META = "SELECT value FROM meta WHERE key = ?"
_KEEP = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
_SET = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def join(
    connection: sqlite3.Connection,
    identity: NodeIdentity,
    slots: int,
    is_alive: IsAlive,
    now_us: int,
    *,
    presumed_dead: NodeRecord | None,
    secret: Secret,
) -> Joined:
    """Become a member and take over what nobody living owns, or raise and change nothing."""
    connection.execute(_FORGET)
    unclean, others = [], False
    for member in nodes(connection):
        if member.identity.incarnation == identity.incarnation:
            continue  # Fenced, or unsure of its last join: nobody has died.
        if (presumed_dead is None or member != presumed_dead) and is_alive(member.identity):
            _refuse_twin(identity, member)
            others = True
        elif _bury(connection, member, now_us):
            unclean.append(replace(member, state=NodeState.DEAD))
    shared = _agree_on_secret(connection, secret, others=others)
    generation = _count_up(connection, "generation", 1)
    connection.execute(_ENTER, _row_of(identity, generation))
    if not _owners(connection, identity.app_id):
        # Every app has the same number: a message to an app that has never been there has its slot.
        (found,) = connection.execute(_SLOTS_OF_ANY).fetchone()
        stay = (identity.node_id, generation)
        rows = [(identity.app_id, slot, *stay) for slot in range(found or slots)]
        connection.executemany(_CREATE_SLOT, rows)
    _house(connection)
    _count_up(connection, "placement_version", 1)
    # Unique without a random source of the store's own: an incarnation is random.
    connection.execute(_KEEP, ("cluster_id", identity.incarnation))
    fence = Fence(identity.node_id, identity.incarnation, generation)
    view = cluster(connection)
    cluster_id = str(_meta(connection, "cluster_id"))
    table = view.tables[identity.app_id]
    return Joined(fence, view, table, tuple(unclean), cluster_id, shared)


def take_over(
    connection: sqlite3.Connection, fence: Fence, dead: NodeRecord | None, now_us: int
) -> bool:
    check(connection, fence)
    if dead is not None and not _bury(connection, dead, now_us):
        return False
    if not _house(connection) and dead is None:
        return False
    _count_up(connection, "placement_version", 1)
    return True


def hand_over(connection: sqlite3.Connection, fence: Fence, given: Sequence[HandOver]) -> int:
    check(connection, fence)
    (app_id,) = connection.execute(
        "SELECT app_id FROM nodes WHERE node_id = ?", (fence.node_id,)
    ).fetchone()
    up = {
        node.membership
        for node in nodes(connection)
        if node.state is NodeState.UP and node.app_id == app_id
    }
    owner = (fence.node_id, fence.generation)
    rows = [(*one.to, app_id, one.slot, *owner, one.epoch) for one in given if one.to in up]
    count = connection.executemany(_GIVE, rows).rowcount if rows else 0
    if count:
        _count_up(connection, "placement_version", 1)
    return count


def begin_drain(connection: sqlite3.Connection, fence: Fence) -> None:
    check(connection, fence)
    connection.execute(_DRAIN, (fence.node_id, fence.incarnation, fence.generation))
    _count_up(connection, "placement_version", 1)


def leave(connection: sqlite3.Connection, fence: Fence) -> None:
    arguments = (fence.node_id, fence.incarnation, fence.generation)
    if connection.execute(_LEAVE, arguments).rowcount:
        _house(connection)
        _count_up(connection, "placement_version", 1)


def check(connection: sqlite3.Connection, fence: Fence) -> None:
    """The fence, which is the heartbeat: first statement of every write of a member."""
    arguments = (fence.node_id, fence.incarnation, fence.generation)
    if connection.execute(FENCE, arguments).rowcount != 1:
        raise NodeFenced(
            f"node {fence.node_id!r} is no longer a member under generation {fence.generation}"
        )


def cluster(connection: sqlite3.Connection, known: ClusterView | None = None) -> ClusterView:
    """The cluster as it is. Of one that is `known`, only heartbeats move under the same version."""
    version = _meta(connection, "placement_version") or 0
    if known is not None and known.version == version:
        beats = dict(connection.execute("SELECT node_id, heartbeat FROM nodes"))
        moved = [
            node
            if node.heartbeat == beats[node.node_id]
            else replace(node, heartbeat=beats[node.node_id])
            for node in known.nodes
        ]
        return replace(known, nodes=tuple(moved))
    owners: dict[str, list[SlotOwner]] = {}
    for app_id, node_id, generation, epoch in connection.execute(_SLOTS):
        owners.setdefault(app_id, []).append(SlotOwner(node_id, generation, epoch))
    tables = {app_id: PlacementTable(version, tuple(found)) for app_id, found in owners.items()}
    return ClusterView(version=version, nodes=tuple(nodes(connection)), tables=tables)


def nodes(connection: sqlite3.Connection) -> list[NodeRecord]:
    return [_record_of(row) for row in connection.execute(_NODES)]


def slot_count(connection: sqlite3.Connection, app_id: str) -> int:
    return len(_owners(connection, app_id))


def reserve_keys(connection: sqlite3.Connection, count: int) -> range:
    end = _count_up(connection, "next_key", count)
    return range(end - count + 1, end + 1)


# ---- who lives


def _refuse_twin(identity: NodeIdentity, member: NodeRecord) -> None:
    other = member.identity
    if other.node_id == identity.node_id:
        raise NodeIdTaken(
            f"node id {other.node_id!r} is in use by the running process {other.pid} "
            f"({other.address}); stop that one, or start this node under another id (--node-id)"
        )


def _bury(connection: sqlite3.Connection, member: NodeRecord, now_us: int) -> bool:
    """Mark a member dead, unless it has shown a sign of life since the record was read."""
    identity = member.identity
    arguments = (identity.node_id, member.generation, member.heartbeat)
    if not connection.execute(_DIE, arguments).rowcount:
        return False
    app_id, stay = identity.app_id, (identity.node_id, member.generation)
    connection.execute(_COUNT_ATTEMPT, (now_us, app_id, app_id, *stay))
    return True


def _house(connection: sqlite3.Connection) -> bool:
    """Give every slot that no member owns to a member of its app; False if there was none."""
    members = [node for node in nodes(connection) if node.is_present]
    present = {node.membership for node in members}
    changed = False
    for app_id in sorted({node.app_id for node in members}):
        owners = _owners(connection, app_id)
        stays = [Membership(owner.node_id, owner.generation) for owner in owners]
        if present.issuperset(stays):
            continue
        up = [n.membership for n in members if n.app_id == app_id and n.state is NodeState.UP]
        rows = [
            (*to, app_id, slot, *stays[slot], owners[slot].epoch)
            for slot, to in sorted(moves(stays, up).items())
            # The living hand over by themselves, when they are ready to.
            if stays[slot] not in present
        ]
        if rows:
            connection.executemany(_GIVE, rows)
            changed = True
    return changed


def _owners(connection: sqlite3.Connection, app_id: str) -> list[SlotOwner]:
    found = connection.execute(
        "SELECT owner, owner_generation, epoch FROM slots WHERE app_id = ? ORDER BY slot", (app_id,)
    )
    return [SlotOwner(*row) for row in found]


# ---- the secret


def _agree_on_secret(connection: sqlite3.Connection, secret: Secret, *, others: bool) -> str:
    """The cluster's secret: the one that is kept here, or one that only the nodes know.

    Of the latter the database holds a digest, so that a node with another one is told so at once.
    """
    digest = _meta(connection, "cluster_secret_digest")
    if secret.given is None:
        if digest is not None and others:
            raise ClusterSecretWrong(
                "the nodes of this database have a cluster secret of their own; give this node the "
                "same (PERDURE_CLUSTER_SECRET)"
            )
        connection.execute("DELETE FROM meta WHERE key = 'cluster_secret_digest'")
        connection.execute(_KEEP, ("cluster_secret", secret.fresh))
        return str(_meta(connection, "cluster_secret"))
    found = hashlib.sha256(f"digest {secret.given}".encode()).hexdigest()
    if others and (digest is None or not hmac.compare_digest(str(digest), found)):
        raise ClusterSecretWrong(
            "the cluster secret of this node is not that of the nodes that run on this database; "
            "give all of them the same (PERDURE_CLUSTER_SECRET), or none of them any"
        )
    connection.execute(_SET, ("cluster_secret_digest", found))
    return secret.given


# ---- rows


def _record_of(row: tuple[object, ...]) -> NodeRecord:
    (
        node_id,
        incarnation,
        generation,
        heartbeat,
        state,
        app_id,
        address,
        hosted_types,
        pid,
        started,
        boot_id,
        peer_address,
    ) = row
    identity = NodeIdentity(
        node_id=str(node_id),
        incarnation=str(incarnation),
        app_id=str(app_id),
        address=str(address),
        pid=_integer(pid),
        started=_integer(started),
        boot_id=str(boot_id),
        hosted_types=tuple(json.loads(str(hosted_types))),
        peer_address=str(peer_address),
    )
    return NodeRecord(
        identity=identity,
        generation=_integer(generation),
        heartbeat=_integer(heartbeat),
        state=NodeState(str(state)),
    )


def _integer(value: object) -> int:
    assert isinstance(value, int)
    return value


def _row_of(identity: NodeIdentity, generation: int) -> tuple[object, ...]:
    return (
        identity.node_id,
        identity.incarnation,
        generation,
        0,
        NodeState.UP.value,
        identity.app_id,
        identity.address,
        json.dumps(identity.hosted_types),
        identity.pid,
        identity.started,
        identity.boot_id,
        identity.peer_address,
    )


def _meta(connection: sqlite3.Connection, key: str) -> Any:
    found = connection.execute(_META, (key,)).fetchone()
    return None if found is None else found[0]


def _count_up(connection: sqlite3.Connection, counter: str, by: int) -> int:
    """Raise a counter in `meta`, which begins at 0, and return what it is then."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
        (counter, by),
    )
    value: int = connection.execute(_META, (counter,)).fetchone()[0]
    return value
