"""Whatever the program and whatever the order of answers: live, replayed and modelled are equal."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.fork import Rerun, fork_of
from tests.properties.desk import Desk
from tests.properties.programs import NAMES, Failed, Program, expected, programs, registry_of

RERUNNABLE = (h.TaskScheduled, h.TimerCreated, h.ChildWorkflowInstanceCreated)


class Schedule:
    """One order in which things happen, decided by a seed alone.

    Time limits, which are an hour off, are reached only if `hurries`.
    """

    def __init__(self, seed: int, *, hurries: bool, instance_id: str = "p") -> None:
        self._id = instance_id
        self._hurries = hurries
        self._random = random.Random(seed)
        self._tries: dict[str, int] = {}
        self._raised = 0
        self._suspended = False
        self.raised: dict[str, list[Any]] = {name: [] for name in NAMES}

    def run(self, desk: Desk) -> None:
        desk.start("program", self._id, None, "start")
        self.finish(desk)

    def finish(self, desk: Desk) -> None:
        self._suspended = desk.rows[self._id].status is h.Status.SUSPENDED
        steps = 0
        while not desk.rows[self._id].status.is_terminal:
            self._step(desk)
            steps += 1
            assert steps < 3000, "it does not come to an end"
        while desk.work():
            desk.do(desk.work()[0], self._answer)
            steps += 1
            assert steps < 5000, f"what is left is never done: {desk.work()}"

    def _step(self, desk: Desk) -> None:
        desk.env.at_us += self._random.randrange(0, 2000)
        soon = desk.env.at_us + 1_000_000
        work = [
            each
            for each in desk.work()
            if self._hurries
            or not each.startswith("timer")
            or desk.reminders[_reminder(each)] < soon
        ]
        choice = self._random.random()
        if (self._suspended and choice < 0.3) or choice < 0.05:
            self._toggle(desk)
        elif not work or choice < 0.25:
            self._raise(desk)
        else:
            desk.do(self._random.choice(work), self._answer)

    def _toggle(self, desk: Desk) -> None:
        desk.call(self._id, m.Resume() if self._suspended else m.Suspend())
        self._suspended = not self._suspended

    def _raise(self, desk: Desk) -> None:
        if self._suspended and not desk.work():
            self._toggle(desk)
            return
        name = self._random.choice(NAMES)
        self._raised += 1
        self.raised[name].append(self._raised)
        spelled = self._random.choice([name, name.upper()])
        desk.call(self._id, m.RaiseEvent(spelled, str(self._raised), f"e{self._id}{self._raised}"))

    def _answer(self, asked: m.RunActivity) -> h.TaskCompleted | h.TaskFailed:
        value, failures = json.loads(asked.input or "")
        self._tries[asked.execution_id] = tries = self._tries.get(asked.execution_id, 0) + 1
        if tries <= failures:
            return h.TaskFailed(asked.task_id, h.Failure("OSError", f"try {tries}"))
        return h.TaskCompleted(asked.task_id, json.dumps(value))


def _reminder(work: str) -> tuple[str, str]:
    _, instance_id, name = work.split(" ")
    return instance_id, name


def _played(
    program: Program, seed: int, *, evicts: bool, generators: bool, hurries: bool = False
) -> tuple[Desk, Schedule]:
    desk = Desk(registry_of(program, generators=generators), evicts=evicts)
    schedule = Schedule(seed, hurries=hurries)
    schedule.run(desk)
    return desk, schedule


def _same(live: Desk, replayed: Desk) -> None:
    assert replayed.rows == live.rows
    for instance_id in live.rows:
        assert replayed.turns(instance_id) == live.turns(instance_id)
    live.check_replays()
    assert live.reminders == {}
    assert live.inbox == {}


@given(program=programs, seed=st.integers(0, 2**32), generators=st.booleans())
def test_a_program_comes_to_the_same_live_by_replay_and_in_the_model(
    program: Program, seed: int, generators: bool
) -> None:
    live, schedule = _played(program, seed, evicts=False, generators=generators)
    replayed, _ = _played(program, seed, evicts=True, generators=generators)
    _same(live, replayed)
    row = live.rows["p"]
    note(f"{row.status.name}: {row.output} {row.failure}")
    events = {name: iter(data) for name, data in schedule.raised.items()}
    try:
        wanted = expected(program, events)
    except Failed:
        assert row.status is h.Status.FAILED
    else:
        assert row.status is h.Status.COMPLETED
        assert json.loads(row.output or "null") == wanted


@given(program=programs, seed=st.integers(0, 2**32), generators=st.booleans())
def test_a_program_whose_time_limits_are_reached_is_the_same_live_and_by_replay(
    program: Program, seed: int, generators: bool
) -> None:
    options: Any = {"generators": generators, "hurries": True}
    live, _ = _played(program, seed, evicts=False, **options)
    replayed, _ = _played(program, seed, evicts=True, **options)
    _same(live, replayed)


@given(program=programs, seed=st.integers(0, 2**32), generators=st.booleans())
def test_a_program_runs_again_from_any_event_and_is_the_same_live_and_by_replay(
    program: Program, seed: int, generators: bool
) -> None:
    live = _played_again(program, seed, evicts=False, generators=generators)
    replayed = _played_again(program, seed, evicts=True, generators=generators)
    _same(live, replayed)


def _played_again(program: Program, seed: int, *, evicts: bool, generators: bool) -> Desk:
    """Run it, and a copy from one of its events on, and a copy of that one."""
    desk, _ = _played(program, seed, evicts=evicts, generators=generators)
    chance = random.Random(seed)
    for source, copy in (("p", "q"), ("q", "r")):
        turns = desk.turns(source)
        asked = [
            event for turn in turns for event in turn.outgoing if isinstance(event, RERUNNABLE)
        ]
        if not asked:
            break
        event = chance.choice(asked)
        note(f"{copy} runs {source} again from {event}")
        before = (desk.rows[source], turns)
        desk.call(copy, fork_of(*before, Rerun(event_id=event.task_id), copy, f"again {copy}"))
        Schedule(seed + 1, hurries=False, instance_id=copy).finish(desk)
        assert (desk.rows[source], desk.turns(source)) == before
    return desk
