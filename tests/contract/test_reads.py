"""What the API reads."""

from __future__ import annotations

import pytest

from perdure.actors.unit_of_work import Outgoing
from perdure.runtime.workflow.history import ExecutionStarted, Parent, Status
from perdure.runtime.workflow.messages import StartWorkflow, encode
from perdure.runtime.workflow.records import ListQuery
from tests.contract.conftest import Engine
from tests.contract.given import (
    BORN_US,
    SLOTS,
    Member,
    alive,
    identity,
    instance,
    message,
    ref,
)


async def listed(member: Member, query: ListQuery) -> list[str]:
    return [row.instance_id for row in (await member.store.page(query)).rows]


async def test_the_instances_of_another_app_are_read_apart(member: Member, engine: Engine) -> None:
    await member.written(member.create(instance(1, "o1"), b"ours"))
    other = await engine.store("bank").of_app("shop")
    assert other is not None
    assert await other.get("o1") == (instance(1, "o1"), b"ours")
    assert await engine.store("bank").get("o1") is None


async def test_an_app_without_any_node_ever_has_no_reads(member: Member) -> None:
    assert await member.store.of_app("bank") is None


@pytest.fixture
async def orders(member: Member) -> Member:
    """Six instances, of which `order-3` and `ship-6` have finished and `ship-5` waits."""
    names = {1: "order", 2: "order", 3: "order", 4: "ship", 5: "ship", 6: "ship"}
    states = {3: Status.COMPLETED, 5: Status.PENDING, 6: Status.COMPLETED}
    await member.written(
        *[
            member.create(
                instance(n, f"{name}-{n}", name=name, status=states.get(n, Status.RUNNING))
            )
            for n, name in names.items()
        ]
    )
    return member


async def test_an_instance_is_read_with_the_first_row_of_its_run(member: Member) -> None:
    row = instance(1, "o1")
    await member.written(member.create(row, b"input"))
    row = instance(1, "o1", next_seq=2, output='"x"')
    await member.written(member.update(row, (1, 1), b"more"))
    assert await member.store.get("o1") == (row, b"input")
    assert await member.store.history("o1") == (row, [b"input", b"more"])


async def test_an_instance_that_does_not_exist_reads_as_none(member: Member) -> None:
    assert await member.store.get("o1") is None
    assert await member.store.history("o1") is None


async def test_the_history_of_a_finished_instance_can_be_read(member: Member) -> None:
    await member.written(member.create(instance(1, "o1", status=Status.COMPLETED), b"all"))
    assert (await member.store.history("o1") or (None, []))[1] == [b"all"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (ListQuery(), ["ship-6", "ship-5", "ship-4", "order-3", "order-2", "order-1"]),
        (ListQuery(newest_first=False, limit=2), ["order-1", "order-2"]),
        (ListQuery(statuses=(Status.COMPLETED,)), ["ship-6", "order-3"]),
        (ListQuery(statuses=(Status.PENDING, Status.COMPLETED)), ["ship-6", "ship-5", "order-3"]),
        (ListQuery(name="ship"), ["ship-6", "ship-5", "ship-4"]),
        (ListQuery(id_prefix="order-"), ["order-3", "order-2", "order-1"]),
        (ListQuery(id_prefix="order-2"), ["order-2"]),
        (ListQuery(id_prefix="order_"), []),
        (ListQuery(id_prefix="%"), []),
        (ListQuery(created_from_us=BORN_US + 5), ["ship-6", "ship-5"]),
        (ListQuery(created_before_us=BORN_US + 2), ["order-1"]),
        (ListQuery(name="ship", statuses=(Status.RUNNING,), id_prefix="s"), ["ship-4"]),
    ],
)
async def test_a_list_holds_what_its_filters_ask_for(
    orders: Member, query: ListQuery, ids: list[str]
) -> None:
    assert await listed(orders, query) == ids


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 6, 7])
async def test_pages_join_to_the_whole_list(orders: Member, limit: int, newest_first: bool) -> None:
    whole = await listed(orders, ListQuery(newest_first=newest_first))
    found: list[str] = []
    after: int | None = None
    while True:
        query = ListQuery(newest_first=newest_first, limit=limit, after_key=after)
        page = await orders.store.page(query)
        found += [row.instance_id for row in page.rows]
        after = page.next_key
        if after is None:
            break
        assert len(page.rows) == limit
    assert found == whole


async def test_counts_are_by_status_and_obey_the_filters(orders: Member) -> None:
    running, pending, completed = Status.RUNNING, Status.PENDING, Status.COMPLETED
    everything = {running: 3, completed: 2, pending: 1}
    assert await orders.store.counts(ListQuery(limit=1, after_key=3)) == everything
    assert await orders.store.counts(ListQuery(name="order")) == {running: 2, completed: 1}
    assert await orders.store.counts(ListQuery(name="none")) == {}


async def test_children_are_the_direct_ones_in_the_order_of_their_keys(member: Member) -> None:
    await member.written(
        member.create(instance(1, "p")),
        member.create(instance(3, "b", parent_key=1)),
        member.create(instance(2, "a", parent_key=1)),
        member.create(instance(4, "grandchild", parent_key=2)),
    )
    assert [child.row.instance_id for child in await member.store.children(1)] == ["a", "b"]
    assert await member.store.children(4) == []


async def test_lists_and_counts_are_of_one_app(engine: Engine, orders: Member) -> None:
    other = engine.store("bank")
    assert (await other.page(ListQuery())).rows == []
    assert await other.counts(ListQuery()) == {}


async def test_a_read_sees_what_was_committed_before_it(member: Member) -> None:
    for key in range(1, 20):
        await member.written(member.create(instance(key, f"o{key}")))
        assert await member.store.get(f"o{key}") is not None


async def test_a_workflow_that_was_started_and_does_not_exist_yet_is_known(member: Member) -> None:
    start = [message("kid", "start:1:1:2")]
    await member.written(
        member.create(instance(1, "parent"), outbox=start),
        member.create(instance(11, "other"), outbox=[message("parent", "child:1:1:1")]),
    )
    assert [await member.store.unborn(key) for key in (1, 11, 2)] == ["kid", None, None]


async def test_children_are_found_in_whatever_app_they_are(engine: Engine, member: Member) -> None:
    store = engine.store("bank")
    joined = await store.join(identity("n2", "second", app_id="bank"), SLOTS, alive)
    bank = Member(store, joined)
    await member.written(
        member.create(instance(1, "p")),
        member.create(instance(2, "a", parent_key=1)),
    )
    await bank.written(bank.create(instance(3, "p", parent_key=1, parent_app="shop")))
    for store in (member.store, bank.store):
        found = [(child.app_id, child.row.key) for child in await store.children(1)]
        assert found == [("shop", 2), ("bank", 3)]


async def test_a_child_that_is_to_begin_in_another_app_is_known(member: Member) -> None:
    start = Outgoing(ref("kid"), "start:1:1:2", b"body", None, "bank")
    await member.written(member.create(instance(1, "parent"), outbox=[start]))
    assert await member.store.unborn(1) == "kid"


async def test_only_a_child_is_missing_while_it_is_to_begin(member: Member) -> None:
    """A workflow of its own that an instance has started is none of its business any more."""
    detached = encode(StartWorkflow(ExecutionStarted("log"), "1:1:1"))
    parent = Parent(1, "parent", 1, 2)
    child = encode(StartWorkflow(ExecutionStarted("pay", parent=parent), "1:1:2", False, True))
    one = message("on-its-own", "start:1:1:1", detached)
    await member.written(member.create(instance(1, "parent"), outbox=[one]))
    assert await member.store.unborn(1) is None
    two = message("kid", "start:1:1:2", child)
    await member.written(member.unit(instance(1, "parent"), None, outbox=[two]))
    assert await member.store.unborn(1) == "kid"
