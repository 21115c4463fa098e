"""What an activation is built from."""

from __future__ import annotations

from perdure.actors.identity import ActorRef
from perdure.actors.unit_of_work import Outgoing
from perdure.runtime.workflow.history import ExecutionStarted, Status
from perdure.runtime.workflow.messages import StartWorkflow, encode
from tests.contract.given import Member, instance, message, ref


async def test_actors_are_loaded_in_the_order_that_was_asked_for(member: Member) -> None:
    await member.written(*[member.create(instance(n, f"o{n}")) for n in (1, 2, 3)])
    names = ["o3", "missing", "o1", "o3"]
    snapshots = await member.store.load([ref(name) for name in names])
    assert [snapshot.ref.id for snapshot in snapshots] == names
    assert [snapshot.state is None for snapshot in snapshots] == [False, True, False, False]
    assert await member.store.load([]) == []


async def test_an_actor_that_never_existed_may_have_messages(member: Member) -> None:
    await member.written(member.create(instance(1, "o1"), outbox=[message("new", "start")]))
    (snapshot,) = await member.store.load([ref("new")])
    assert snapshot.state is None
    assert [row.message_id for row in snapshot.inbox] == ["start"]


async def test_an_id_names_different_actors_of_different_types(member: Member) -> None:
    activity = ActorRef("activity", "o1")
    await member.written(
        member.create(instance(1, "o1"), outbox=[Outgoing(activity, "run", b"go", None)])
    )
    of_workflow, of_activity = await member.store.load([ref("o1"), activity])
    assert (of_workflow.inbox, of_activity.state) == ([], None)
    assert [row.body for row in of_activity.inbox] == [b"go"]


async def test_only_the_history_of_the_current_run_is_loaded(member: Member) -> None:
    await member.written(member.create(instance(1, "o1"), b"old"))
    unit = member.update(instance(1, "o1", execution=2), (1, 1), b"new")
    unit.change.drop_history = False  # type: ignore[attr-defined]
    await member.written(unit)
    assert (await member.loaded("o1")).history == [(0, b"new")]


async def test_a_finished_instance_comes_with_history_only_if_it_has_work(member: Member) -> None:
    done = {"status": Status.COMPLETED}
    await member.written(
        member.create(instance(1, "idle", **done)),
        member.create(instance(2, "busy", has_work=True, **done)),
    )
    assert (await member.loaded("idle")).history == []
    assert (await member.loaded("busy")).history == [(0, b"turn 0")]


async def test_an_open_child_of_a_finished_instance_is_named(member: Member) -> None:
    done = {"status": Status.COMPLETED}
    await member.written(
        member.create(instance(1, "root", **done)),
        member.create(instance(2, "child", parent_key=1, **done)),
        member.create(instance(3, "grandchild", parent_key=2)),
        member.create(instance(4, "stranger", parent_key=99)),
    )
    assert (await member.loaded("root")).open_child == "grandchild"
    assert (await member.loaded("child")).open_child == "grandchild"
    row = instance(3, "grandchild", parent_key=2, status=Status.TERMINATED, next_seq=2)
    await member.written(member.update(row, (1, 1)))
    assert (await member.loaded("root")).open_child is None


async def test_a_child_whose_start_is_on_its_way_is_open_too(member: Member) -> None:
    row = instance(1, "root", status=Status.COMPLETED)
    start = StartWorkflow(ExecutionStarted("child"), "r", tell_parent=True)
    sent = Outgoing(ref("root:0001"), "start:1:1:1", encode(start), None)
    await member.written(member.create(row, outbox=[sent]))
    assert (await member.loaded("root")).open_child == "root:0001"


async def test_a_circle_of_parents_does_not_hang_the_load(member: Member) -> None:
    done = {"status": Status.COMPLETED}
    await member.written(
        member.create(instance(1, "a", parent_key=2, **done)),
        member.create(instance(2, "b", parent_key=1, **done)),
    )
    assert (await member.loaded("a")).open_child is None


async def test_inboxes_are_read_alone_in_the_order_that_was_asked_for(member: Member) -> None:
    sent = [message("a", "1"), message("b", "2", b"two"), message("a", "3")]
    await member.written(member.create(instance(1, "o1"), outbox=sent))
    found = await member.store.load_inboxes([ref("b"), ref("o1"), ref("a"), ref("nobody")])
    names = [[row.message_id for row in rows] for rows in found]
    assert names == [["2"], [], ["1", "3"], []]
    assert found[0][0].body == b"two"
    assert await member.store.load_inboxes([]) == []
