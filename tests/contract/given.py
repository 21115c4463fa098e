"""Rows, units of work and members for the tests of the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from perdure.actors.identity import ActorRef, slot_of
from perdure.actors.ports import Fence
from perdure.actors.unit_of_work import Outgoing, UnitOfWork
from perdure.placement.membership import Membership, NodeIdentity
from perdure.placement.ports import HandOver, Joined
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.messages import WORKFLOW
from perdure.runtime.workflow.records import ChangeKind, Instance, WorkflowChange

if TYPE_CHECKING:
    from tests.contract.conftest import Engine

SLOTS = 16
BORN_US = 1_700_000_000_000_000


def identity(node_id: str = "n1", incarnation: str = "first", **changes: Any) -> NodeIdentity:
    fields: dict[str, Any] = {
        "app_id": "shop",
        "address": "127.0.0.1:3500",
        "pid": 100,
        "started": 5,
        "boot_id": "boot",
        "hosted_types": ("workflow", "activity"),
    }
    return NodeIdentity(node_id=node_id, incarnation=incarnation, **{**fields, **changes})


def gone(_: NodeIdentity) -> bool:
    return False


def alive(_: NodeIdentity) -> bool:
    return True


def dies(*incarnations: str) -> Callable[[NodeIdentity], bool]:
    """Everybody lives but these."""
    return lambda who: who.incarnation not in incarnations


def instance(key: int, instance_id: str, **changes: Any) -> Instance:
    fields: dict[str, Any] = {
        "slot": slot_of(instance_id, SLOTS),
        "name": "order",
        "status": Status.RUNNING,
        "created_us": BORN_US + key,
        "updated_us": BORN_US + key,
        "execution": 1,
        "next_seq": 1,
    }
    return Instance(key=key, instance_id=instance_id, **{**fields, **changes})


def ref(instance_id: str) -> ActorRef:
    return ActorRef(WORKFLOW, instance_id)


def message(instance_id: str, message_id: str, body: bytes = b"body") -> Outgoing:
    return Outgoing(ref(instance_id), message_id, body, None)


class Member:
    """A node that has joined: its store, its fence, and ways to make and commit units."""

    def __init__(self, store: SqliteStore, joined: Joined) -> None:
        self.store = store
        self.joined = joined

    @property
    def fence(self) -> Fence:
        return self.joined.fence

    def unit(self, row: Instance, change: WorkflowChange | None, **parts: Any) -> UnitOfWork:
        epoch = self.joined.table.owners[row.slot].epoch
        fields = {"epoch": epoch, **parts}
        return UnitOfWork(ref(row.instance_id), row.slot, key=row.key, change=change, **fields)

    def create(self, row: Instance, turn: bytes = b"turn 0", **parts: Any) -> UnitOfWork:
        return self.unit(row, WorkflowChange(ChangeKind.CREATE, row, turn=turn), **parts)

    def update(
        self, row: Instance, expected: tuple[int, int], turn: bytes | None = None, **parts: Any
    ) -> UnitOfWork:
        """The next turn of an instance whose row was at `expected`."""
        execution, seq = expected
        again = row.execution > execution
        change = WorkflowChange(
            ChangeKind.UPDATE, row, execution, seq, turn, 0 if again else seq, drop_history=again
        )
        return self.unit(row, change, **parts)

    def delete(self, row: Instance, **parts: Any) -> UnitOfWork:
        change = WorkflowChange(ChangeKind.DELETE, row, row.execution, row.next_seq)
        return self.unit(row, change, **parts)

    def given_by(self, giver: Member, *slots: int) -> list[HandOver]:
        """Slots as another node gives them to this one, as it owned them when it joined."""
        owned = giver.joined.table.owned_by(giver.fence.node_id, giver.fence.generation)
        to = Membership(self.fence.node_id, self.fence.generation)
        return [HandOver(slot, owned[slot], to) for slot in slots]

    async def commit(self, *units: UnitOfWork) -> Sequence[Exception | None]:
        return await self.store.commit(self.fence, units)

    async def written(self, *units: UnitOfWork) -> None:
        """Commit, all of which must succeed."""
        assert await self.commit(*units) == [None] * len(units)

    async def loaded(self, instance_id: str) -> Any:
        """The stored workflow of an instance, None if there is none."""
        (snapshot,) = await self.store.load([ref(instance_id)])
        return snapshot.state

    async def inbox(self, instance_id: str) -> list[tuple[str, bytes]]:
        (snapshot,) = await self.store.load([ref(instance_id)])
        return [(row.message_id, row.body) for row in snapshot.inbox]

    async def reminders(self) -> list[tuple[str, str, int]]:
        due = await self.store.scan_reminders(self.fence, 1 << 62, 100)
        return [(reminder.ref.id, reminder.name, reminder.due_us) for reminder in due]


async def second(engine: Engine, member: Member) -> Member:
    """Another node beside `member`."""
    store = engine.store()
    return Member(store, await store.join(identity("n2", "second"), SLOTS, alive))
