"""Nodes and slots. Plain functions of a connection; an edge module.

Every change of a slot's owner raises its epoch and the placement version, which is what the cached
slots of a committing node are checked against.
"""

from __future__ import annotations

import json
import sqlite3

from perdure.actors.ports import Fence
from perdure.placement.errors import ClusterOccupied, NodeIdTaken
from perdure.placement.membership import NodeIdentity, NodeRecord, NodeState
from perdure.placement.ports import IsAlive, Joined
from perdure.placement.table import PlacementTable, SlotOwner
from perdure.runtime.workflow.history import Status

_NODES = (
    "SELECT node_id, incarnation, generation, heartbeat, state, app_id, address, hosted_types, "
    "pid, started, boot_id FROM nodes ORDER BY node_id"
)
_DIE = "UPDATE nodes SET state = 'dead' WHERE node_id = ? AND generation = ?"
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
_ENTER = "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COUNT_SLOTS = "SELECT count(*) FROM slots WHERE app_id = ?"
_CREATE_SLOT = "INSERT INTO slots VALUES (?, ?, ?, ?, 1)"
_TAKE_SLOTS = "UPDATE slots SET owner = ?, owner_generation = ?, epoch = epoch + 1 WHERE app_id = ?"
_LEAVE = (
    "UPDATE nodes SET state = 'left' "
    "WHERE node_id = ? AND incarnation = ? AND generation = ? AND state = 'up'"
)
_TABLE = "SELECT owner, owner_generation, epoch FROM slots WHERE app_id = ? ORDER BY slot"

_PRESENT = frozenset({NodeState.JOINING, NodeState.UP, NodeState.DRAINING})


def join(
    connection: sqlite3.Connection,
    identity: NodeIdentity,
    slots: int,
    is_alive: IsAlive,
    now_us: int,
) -> Joined:
    """Become the member that owns every slot, or raise and change nothing."""
    connection.execute(_FORGET)
    unclean = [
        _bury(connection, member, now_us)
        for member in nodes(connection)
        if member.state in _PRESENT and not _is_former_self(identity, member, is_alive)
    ]
    generation = _count_up(connection, "generation", 1)
    connection.execute(_ENTER, _row_of(identity, generation))
    (existing,) = connection.execute(_COUNT_SLOTS, (identity.app_id,)).fetchone()
    if existing:
        connection.execute(_TAKE_SLOTS, (identity.node_id, generation, identity.app_id))
    else:
        rows = [(identity.app_id, slot, identity.node_id, generation) for slot in range(slots)]
        connection.executemany(_CREATE_SLOT, rows)
    _count_up(connection, "placement_version", 1)
    # Unique without a random source of the store's own: an incarnation is random.
    connection.execute(
        "INSERT INTO meta VALUES ('cluster_id', ?) ON CONFLICT (key) DO NOTHING",
        (identity.incarnation,),
    )
    fence = Fence(identity.node_id, identity.incarnation, generation)
    return Joined(fence, table(connection, identity.app_id), tuple(unclean))


def leave(connection: sqlite3.Connection, fence: Fence) -> None:
    connection.execute(_LEAVE, (fence.node_id, fence.incarnation, fence.generation))


def table(connection: sqlite3.Connection, app_id: str) -> PlacementTable:
    found = connection.execute("SELECT value FROM meta WHERE key = 'placement_version'").fetchone()
    owners = [SlotOwner(*row) for row in connection.execute(_TABLE, (app_id,))]
    return PlacementTable(0 if found is None else found[0], tuple(owners))


def nodes(connection: sqlite3.Connection) -> list[NodeRecord]:
    return [
        NodeRecord(
            identity=NodeIdentity(
                node_id=node_id,
                incarnation=incarnation,
                app_id=app_id,
                address=address,
                pid=pid,
                started=started,
                boot_id=boot_id,
                hosted_types=tuple(json.loads(hosted_types)),
            ),
            generation=generation,
            heartbeat=heartbeat,
            state=NodeState(state),
        )
        for (
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
        ) in connection.execute(_NODES)
    ]


def slot_count(connection: sqlite3.Connection, app_id: str) -> int:
    count: int = connection.execute(_COUNT_SLOTS, (app_id,)).fetchone()[0]
    return count


def reserve_keys(connection: sqlite3.Connection, count: int) -> range:
    end = _count_up(connection, "next_key", count)
    return range(end - count + 1, end + 1)


def _is_former_self(identity: NodeIdentity, member: NodeRecord, is_alive: IsAlive) -> bool:
    """Whether `member` is this very process under an earlier generation. Raises if it lives."""
    other = member.identity
    if other.incarnation == identity.incarnation:
        return True  # Fenced, or unsure of its last join: nobody has died.
    if not is_alive(other):
        return False
    if other.node_id == identity.node_id:
        raise NodeIdTaken(
            f"node id {other.node_id!r} is in use by the running process {other.pid} "
            f"({other.address}), and a database takes one node at a time; "
            "stop that one, or give this node a database of its own"
        )
    raise ClusterOccupied(
        f"the database is in use by node {other.node_id!r}, the running process {other.pid} "
        f"({other.address}); stop it, or give this node a database of its own"
    )


def _bury(connection: sqlite3.Connection, member: NodeRecord, now_us: int) -> NodeRecord:
    identity = member.identity
    connection.execute(_DIE, (identity.node_id, member.generation))
    connection.execute(
        _COUNT_ATTEMPT,
        (now_us, identity.app_id, identity.app_id, identity.node_id, member.generation),
    )
    return NodeRecord(
        identity=identity,
        generation=member.generation,
        heartbeat=member.heartbeat,
        state=NodeState.DEAD,
    )


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
    )


def _count_up(connection: sqlite3.Connection, counter: str, by: int) -> int:
    """Raise a counter in `meta`, which begins at 0, and return what it is then."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
        (counter, by),
    )
    value: int = connection.execute("SELECT value FROM meta WHERE key = ?", (counter,)).fetchone()[
        0
    ]
    return value
