"""Workers that do not say what they have, and lack some of it: who gets what, and what fails."""

from __future__ import annotations

import asyncio

from perdure.runtime.node import Node
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.workers import lacking
from tests.cluster.nodes import in_time, recorded, until
from tests.support.workers import Worker, call, completed, serving_workers


async def failure(node: Node, instance_id: str) -> str:
    view = await in_time(node.service.wait(instance_id, timeout=15))
    assert view.row.status is h.Status.FAILED
    assert view.row.failure is not None
    message: str = view.row.failure.message
    return message


async def output(node: Node, instance_id: str) -> str | None:
    view = await in_time(node.service.wait(instance_id, timeout=15))
    assert view.row.status is h.Status.COMPLETED, view.row
    found: str | None = view.row.output
    return found


# ---- turns


async def test_a_turn_that_one_worker_has_no_code_for_goes_to_the_other_one() -> None:
    async with serving_workers() as node:
        wrong = Worker(node)
        await node.service.start("ship", instance_id="o")
        given = await wrong.next()
        right = Worker(node)
        with recorded() as log:
            given.lack()
        [told] = log.of("code_lacking")
        assert (told.__dict__["peer"], told.__dict__["code"]) == ("worker", "workflow:ship")
        await right.turn(completed("done"))
        assert await output(node, "o") == '"done"'


async def test_what_a_worker_lacks_is_not_sent_to_it_again_however_busy_the_other_is() -> None:
    async with serving_workers() as node:
        wrong, right = Worker(node, name="wrong"), Worker(node, name="right", turns=1)
        await node.service.start("ship", instance_id="o")
        (await wrong.next()).lack()
        busy = await right.next()
        await node.service.start("ship", instance_id="p")
        await node.service.start("bill", instance_id="q")
        other = await wrong.next()
        assert other.turn.name == "bill"
        assert wrong.stream.load == 1
        busy.end()
        await right.turn(completed())
        other.end()
        for id_ in ("o", "p", "q"):
            await output(node, id_)


async def test_a_workflow_that_nobody_has_fails_by_the_words_of_the_last_one_asked() -> None:
    async with serving_workers() as node:
        one, two = Worker(node, name="one"), Worker(node, name="two")
        await node.service.start("ship", instance_id="o")
        (await one.next()).lack()
        (await two.next()).lack()
        assert await failure(node, "o") == "two has no ship"
        # And so does the next one, which is given to one of them again.
        await node.service.start("ship", instance_id="p")
        (await one.next()).lack()
        assert await failure(node, "p") == "one has no ship"
        assert two.stream.load == 0


async def test_a_worker_that_comes_later_is_asked_before_anything_fails() -> None:
    async with serving_workers() as node:
        one = Worker(node)
        await node.service.start("ship", instance_id="o")
        (await one.next()).lack()
        await failure(node, "o")
        await node.service.start("ship", instance_id="p")
        given = await one.next()
        right = Worker(node)
        given.lack()
        await right.turn(completed())
        await output(node, "p")


async def test_what_a_worker_lacked_is_forgotten_when_it_connects_again() -> None:
    async with serving_workers() as node:
        one = Worker(node)
        await node.service.start("ship", instance_id="o")
        (await one.next()).lack()
        await failure(node, "o")
        one.leave()
        again = Worker(node)
        await node.service.start("ship", instance_id="p")
        await again.turn(completed())
        await output(node, "p")


async def test_an_instance_that_is_under_way_is_not_failed_by_a_worker_without_its_code() -> None:
    async with serving_workers() as node:
        right = Worker(node, keeps_history=True)
        await node.service.start("ship", instance_id="o")
        await right.turn()
        wrong = Worker(node, keeps_history=True)
        right.leave()
        await node.service.raise_event("o", "go", None)
        given = await wrong.next()
        wrong.stream.remember(given.turn, given.turn.past_count)
        given.lack()
        assert wrong.stream.known_events(given.turn) == 0  # It may have forgotten all of it.
        # Its own worker has just gone: it is waited for.
        await asyncio.sleep(0)
        assert wrong.stream.load == 0
        back = Worker(node, keeps_history=True)
        news = await back.next()
        assert news.news == ["go"]
        news.end()
        await output(node, "o")


async def test_who_does_not_come_back_is_not_waited_for_without_end() -> None:
    async with serving_workers() as node:
        wrong, right = Worker(node, name="wrong"), Worker(node)
        await node.service.start("ship", instance_id="o")
        (await wrong.next()).lack()
        await right.next()
        right.leave()
        assert wrong.stream.load == 0
        gone = node.engine.pool._absent._gone
        gone[:] = [(since - lacking.RETURN_SECONDS, stream) for since, stream in gone]
        node.engine.pool._changed()
        (await wrong.next()).lack()
        assert await failure(node, "o") == "wrong has no ship"


async def test_an_answer_that_comes_too_late_says_nothing() -> None:
    async with serving_workers() as node:
        one = Worker(node)
        await node.service.start("ship", instance_id="o")
        given = await one.next()
        one.leave()
        two = Worker(node)
        given.lack()
        await two.turn(completed())
        await output(node, "o")


async def test_limits_of_turns_count_what_was_lacked_once() -> None:
    async with serving_workers(workflow_concurrency=1) as node:
        wrong, right = Worker(node), Worker(node)
        await node.service.start("ship", instance_id="o")
        (await wrong.next()).lack()
        given = await right.next()
        await node.service.start("bill", instance_id="p")
        assert wrong.stream.load == 0
        given.end()
        await wrong.turn(completed())
        await output(node, "p")


# ---- activities


async def test_an_activity_goes_to_the_worker_that_has_it_and_runs_once() -> None:
    async with serving_workers() as node:
        boss = Worker(node, activities=0)
        wrong, right = (Worker(node, turn_names=frozenset()) for _ in range(2))
        await node.service.start("ship", instance_id="o")
        turn = await boss.next()
        turn.decide(call(1, "pack"))
        (await wrong.next()).lack()
        assert (await right.activity("packed")).name == "pack"
        turn = await boss.next()
        assert turn.news == ["TaskCompleted"]
        turn.decide(call(2, "pack"), call(3, "pack"))
        for _ in range(2):
            assert (await right.activity()).name == "pack"
        assert wrong.stream.load == 0


async def test_an_activity_that_nobody_has_fails() -> None:
    async with serving_workers() as node:
        boss = Worker(node, activities=0, activity_names=frozenset())
        one, two = (Worker(node, name=n, turn_names=frozenset()) for n in ("one", "two"))
        await node.service.start("ship", instance_id="o")
        await boss.turn(call(1, "pack"))
        (await one.next()).lack()
        (await two.next()).lack()
        given = await boss.next()
        (event,) = given.turn.incoming
        assert isinstance(event, h.TaskFailed)
        assert event.failure.message == "two has no pack"
        given.decide(call(2, "pack"))
        (await one.next()).lack()
        given = await boss.next()
        (event,) = given.turn.incoming
        assert isinstance(event, h.TaskFailed)
        assert event.failure.message == "one has no pack"


async def test_an_activity_whose_worker_has_just_gone_waits_for_it() -> None:
    async with serving_workers() as node:
        boss = Worker(node, activities=0, activity_names=frozenset())
        wrong = Worker(node, turn_names=frozenset())
        right = Worker(node, turn_names=frozenset(), activities=1)
        await node.service.start("ship", instance_id="o")
        await boss.turn(call(1, "pack"))
        (await wrong.next()).lack()
        await right.next()
        right.leave()
        await until(lambda: node.engine.tenure.activities.waiting == 1, "it waits")
        assert wrong.stream.load == 0
        back = Worker(node, turn_names=frozenset())
        assert (await back.activity()).name == "pack"


# ---- room by name


async def test_a_name_whose_workers_are_full_holds_up_no_other() -> None:
    async with serving_workers() as node:
        boss = Worker(node, activity_names=frozenset())
        packer = Worker(
            node, turn_names=frozenset(), activity_names=frozenset({"pack"}), activities=1
        )
        biller = Worker(
            node, turn_names=frozenset(), activity_names=frozenset({"bill"}), activities=2
        )
        await node.service.start("ship", instance_id="o")
        await boss.turn(*[call(number, "pack") for number in range(1, 6)], call(6, "bill"))
        first = await packer.next()
        assert (await biller.next()).activity.name == "bill"
        runner = node.engine.tenure.activities
        assert (runner.running, runner.waiting) == (2, 4)
        # What waits for the packer takes no room of the biller's.
        assert runner.room.at_workers == 1
        first.complete()
        assert (await packer.next()).activity.name == "pack"
        assert (runner.running, runner.waiting) == (2, 3)


async def test_as_many_begin_as_there_are_places_and_what_lost_its_own_has_the_next() -> None:
    async with serving_workers() as node:
        boss = Worker(node, activity_names=frozenset())
        one, two = (Worker(node, turn_names=frozenset(), activities=n) for n in (1, 2))
        await node.service.start("ship", instance_id="o")
        await boss.turn(*[call(number, "pack") for number in range(1, 6)])
        stays = await one.next()
        lost = {(await two.next()).activity.task_id for _ in range(2)}
        runner = node.engine.tenure.activities
        assert (runner.running, runner.waiting, two.stream.activities) == (3, 2, 2)
        two.leave()
        await until(lambda: runner.waiting == 4, "all others wait")
        stays.complete()
        found = [(await one.activity()).task_id for _ in range(2)]
        assert set(found) == lost
