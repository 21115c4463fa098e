"""What the database must hold, known apart from the engine. An owner module.

Built from nothing but the rows that transactions wrote, and checked at every commit. Each check
names the invariant that it guards, by its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m
from perdure.runtime.workflow.codec import decode_turn
from tests.simulation.forked import problem_of
from tests.simulation.lives import START_TIMER, Life, Run
from tests.simulation.world import Violation, World

Note = tuple[Any, ...]


class Author(Protocol):
    """The process that wrote a transaction."""

    name: str

    @property
    def latest_us(self) -> int: ...


class Transaction:
    """The notes of one transaction, sorted."""

    def __init__(self, notes: list[Note]) -> None:
        self.created = [n for n in notes if n[0] == "W+"]
        self.updated = [n for n in notes if n[0] == "W~"]
        self.deleted = [n for n in notes if n[0] == "W-"]
        self.appended = [n for n in notes if n[0] == "H+"]
        self.dropped = [n for n in notes if n[0] == "H-"]
        self.sent = {(n[1], n[2]): bytes(n[3]) for n in notes if n[0] == "I+"}
        self.consumed = [n for n in notes if n[0] == "I-"]
        self.set = [n for n in notes if n[0] == "R+"]
        self.cleared = [n for n in notes if n[0] == "R-"]
        self.slots = [n for n in notes if n[0] == "S~"]
        self.generations = [n[2] for n in notes if n[0] == "N+"]
        self.node_states = [(n[3], n[4]) for n in notes if n[0] == "N~"]
        self.rewritten = [n for n in notes if n[0] == "H!"]
        self.ended: set[str] = set()
        self.refused: set[tuple[str, str]] = set()
        self.asked: set[tuple[str, str]] = set()
        """Messages that the turns of this transaction account for."""
        self.allowed: set[tuple[str, str]] = set()
        """And those that may go with them."""


class Shadow:
    """Every life of every instance."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.by_key: dict[int, Life] = {}
        self.current: dict[str, Life] = {}
        self.purges: dict[str, int] = {}
        self.inbox: set[tuple[str, str]] = set()
        self.generation = 0
        self.stalls = 0
        self.gone: list[tuple[float, str]] = []
        """When which process (by incarnation) was declared dead, or left."""
        self.may_stall = False
        self.forks: dict[str, str] = {}
        """Which instance each accepted call to run something again has made."""

    def take(self, notes: list[Note], author: Author) -> None:
        """Everything that one transaction did."""
        txn = Transaction(notes)
        for incarnation, state in txn.node_states:
            if state in ("dead", "left"):
                self.gone.append((self._world.now, incarnation))
        for note in txn.rewritten:
            raise self._violated(f"I2: history row {note[1:4]} was changed")
        for generation in txn.generations:
            if generation <= self.generation:
                raise self._violated(f"I12: generation {generation} after {self.generation}")
            self.generation = generation
        for _, slot, old, new, *_ in txn.slots:
            if new <= old:
                raise self._violated(f"I12: epoch of slot {slot} goes from {old} to {new}")
        for note in txn.deleted:
            self._delete(note)
        for note in txn.created:
            self._create(note)
        before = {note[1]: self.by_key[note[1]].status for note in txn.updated}
        rows = {note[1]: note for note in (*txn.created, *txn.updated)}
        for note in txn.appended:
            life = self.by_key.get(note[1])
            row = rows.get(note[1])
            if life is None or row is None:
                raise self._violated(f"I2: history for key {note[1]} without its row")
            self._append(life, row, note, txn, author)
        for key, row in rows.items():
            self._check_row(self.by_key[key], row, before.get(key), txn)
        for note in txn.dropped:
            life = self.by_key[note[1]]
            if not life.is_gone and note[2] >= life.execution:
                raise self._violated(f"I2: history row {note[1:4]} of a current run was removed")
        self._take_reminders(txn)
        self._take_messages(txn)
        written = {note[1] for note in txn.appended}
        for key in rows:
            self._check_reminders(self.by_key[key], is_new_turn=key in written)
        self._trace(txn, author)

    # ---- rows

    def _create(self, note: Note) -> None:
        _, key, instance_id, *_ = note
        if key in self.by_key:
            raise self._violated(f"key {key} is given to '{instance_id}' a second time")
        there = self.current.get(instance_id)
        if there is not None:
            raise self._violated(f"'{instance_id}' is created while it exists")
        self.by_key[key] = self.current[instance_id] = Life(key, instance_id, self._world.now)

    def _delete(self, note: Note) -> None:
        life = self.by_key[note[1]]
        life.is_gone = True
        del self.current[life.instance_id]
        self.purges[life.instance_id] = self.purges.get(life.instance_id, 0) + 1

    def _check_row(self, life: Life, row: Note, before: h.Status | None, txn: Transaction) -> None:
        _, _, instance_id, execution, next_seq, number, has_work, _, request = row
        status = h.Status(number)
        if execution < life.execution:
            raise self._violated(f"I12: execution of '{instance_id}' falls to {execution}")
        if before in h.TERMINAL and execution == life.execution and status != before:
            raise self._violated(f"I9: '{instance_id}' was {before!r} and becomes {status!r}")
        life.execution, life.status = execution, status
        run = life.runs.get(execution)
        if run is None or len(run.turns) != next_seq:
            raise self._violated(f"I2: '{instance_id}' says next_seq {next_seq}, found {run}")
        if status is h.Status.STALLED:
            self.stalls += 1
            if not self.may_stall:
                raise self._violated(f"'{instance_id}' is stalled: {self._reason(life)}")
            return
        if (run.over is not None) != status.is_terminal or (run.over and run.over.status != status):
            raise self._violated(f"I9: '{instance_id}' is {status!r}, its history ends {run.over}")
        if not status.is_terminal and run.has_work != bool(has_work):
            text = f"open activities {run.open_tasks()}, {run.sight.seen} events seen"
            raise self._violated(f"I7: '{instance_id}' has_work={has_work}, {text}")
        newest = request.split("\n")[0]
        if newest != life.newest_start:
            if newest in life.requests:
                raise self._violated(f"I1: start {newest} of '{instance_id}' opened two runs")
            life.newest_start = newest
            life.requests.add(newest)

    def _reason(self, life: Life) -> str:
        return f"run {life.execution} after {len(life.run.turns)} turns"

    # ---- history

    def _append(self, life: Life, row: Note, note: Note, txn: Transaction, author: Author) -> None:
        _, _, execution, seq, blob, *_ = note
        where = f"'{life.instance_id}' run {execution} turn {seq}"
        if execution != row[3]:
            raise self._violated(f"I2: {where} is not of the current run {row[3]}")
        run = life.runs.setdefault(execution, Run(execution))
        if seq != len(run.turns):
            raise self._violated(f"I2: {where} comes after {len(run.turns)} turns")
        if run.over is not None:
            raise self._violated(f"I1: {where} comes after the end")
        turn = decode_turn(bytes(blob))
        if run.turns and turn.at_us < run.turns[-1].at_us:
            raise self._violated(f"{where} is earlier than the turn before")
        run.turns.append(turn)
        for event in turn.incoming:
            self._incoming(run, event, where, author)
        problem = run.sight.take(turn, is_past=run.is_past)
        if problem is not None:
            raise self._violated(f"{where}: {problem}")
        for asked in turn.outgoing:
            self._outgoing(life, run, asked, where, txn)
        if len(run.turns) == run.forked:
            self._forked(life, run, row, txn)

    def _forked(self, life: Life, run: Run, row: Note, txn: Transaction) -> None:
        """It has all that it begins with of another instance, in the transaction that makes it."""
        life.execution = run.number
        problem = problem_of(life, self.by_key.values())
        if problem is None and row[4] != run.forked:
            problem = f"it goes on at {row[4]}"
        if problem is None and self.forks.setdefault(row[8], life.instance_id) != life.instance_id:
            problem = f"the same call has made '{self.forks[row[8]]}'"
        if problem is not None:
            raise self._violated(f"I16: '{life.instance_id}' of {run.fork}: {problem}")
        run.taken_over = frozenset(run.answered)
        for task_id, child_id in run.children.items():
            if task_id not in run.answered:
                txn.asked.add((child_id, f"start:{life.key}:{run.number}:{task_id}"))

    def _incoming(self, run: Run, event: h.Incoming, where: str, author: Author) -> None:
        match event:
            case h.ExecutionStarted():
                if len(run.turns) != 1 or run.started is not None:
                    raise self._violated(f"I1: {where} starts again")
                run.started = event
                if event.scheduled_us is not None:
                    run.timers[START_TIMER] = event.scheduled_us
            case h.TaskCompleted() | h.TaskFailed():
                self._answer(run, event.task_id, run.tasks, where)
            case h.TimerFired():
                self._answer(run, event.task_id, run.timers, where)
                due_us = run.timers[event.task_id]
                if due_us > author.latest_us and not run.is_past:
                    early = (due_us - author.latest_us) / 1e6
                    raise self._violated(f"I6: {where}: timer {event.task_id} is {early} s early")
            case h.ChildWorkflowInstanceCompleted() | h.ChildWorkflowInstanceFailed():
                self._answer(run, event.task_id, run.children, where)
            case h.EventRaised():
                if event.request_id in run.requests:
                    raise self._violated(f"I5: {where}: event {event.request_id} a second time")
                run.requests.append(event.request_id)
                run.raised.append(event)

    def _answer(self, run: Run, task_id: int, asked: Iterable[int], where: str) -> None:
        if task_id not in set(asked):
            raise self._violated(f"I4: {where}: an answer to task {task_id}, never asked")
        if task_id in run.answered:
            raise self._violated(f"I4: {where}: a second answer to task {task_id}")
        run.answered.add(task_id)

    def _outgoing(
        self, life: Life, run: Run, event: h.Outgoing, where: str, txn: Transaction
    ) -> None:
        if isinstance(event, h.ExecutionCompleted):
            if run.over is not None:
                raise self._violated(f"I1: {where} ends a second time")
            run.over = event
            txn.ended.add(life.instance_id)
            started = run.started
            if started is not None and started.parent is not None:
                parent = started.parent
                answer = f"child:{parent.key}:{parent.execution}:{parent.task_id}"
                txn.asked.add((parent.instance_id, answer))
            self._cascade(life, run, txn)
            return
        if event.task_id <= run.highest_task:
            raise self._violated(f"I8: {where}: task id {event.task_id} is used twice")
        run.highest_task = event.task_id
        match event:
            case h.TaskScheduled():
                run.tasks[event.task_id] = event
            case h.TimerCreated():
                run.timers[event.task_id] = event.fire_at_us
            case h.ChildWorkflowInstanceCreated() | h.DetachedWorkflowInstanceCreated():
                if isinstance(event, h.ChildWorkflowInstanceCreated):
                    run.children[event.task_id] = event.instance_id
                call = f"start:{life.key}:{run.number}:{event.task_id}"
                (txn.allowed if run.is_past else txn.asked).add((event.instance_id, call))

    def _cascade(self, life: Life, run: Run, txn: Transaction) -> None:
        """Who is terminated with its children tells them."""
        for event in run.turns[-1].incoming:
            if isinstance(event, h.ExecutionTerminated) and event.recursive:
                for task_id, child_id in run.children.items():
                    if task_id not in run.answered:
                        txn.asked.add((child_id, f"terminate:{life.key}:{run.number}"))

    # ---- messages and reminders

    def _take_messages(self, txn: Transaction) -> None:
        for instance_id, message_id, body, *_ in (note[1:] for note in txn.consumed):
            self.inbox.discard((instance_id, message_id))
            if not any(note[2] == instance_id for note in txn.deleted):
                self._check_consumed(instance_id, message_id, m.decode(bytes(body)), txn)
        for target in txn.sent:
            self.inbox.add(target)
            instance_id, message_id = target
            kind = message_id.partition(":")[0]
            if kind == "start" and target not in txn.asked | txn.allowed:
                raise self._violated(f"I10: {target} was sent, but nobody asked for it")
            if kind == "child" and target not in txn.asked and target not in txn.refused:
                raise self._violated(f"I10: {target} was sent, but no child has ended")
        missing = sorted(txn.asked - self.inbox)
        if missing:
            raise self._violated(f"I10: asked for, but not sent: {missing}")

    def _check_consumed(
        self, instance_id: str, message_id: str, message: object, txn: Transaction
    ) -> None:
        life = self.current.get(instance_id)
        where = f"message {message_id} to '{instance_id}' was consumed"
        if isinstance(message, m.Completion):
            addressee = (message.key, message.execution)
            if life is None or (life.key, life.execution) != addressee or life.status.is_terminal:
                return
            if isinstance(message.event, h.TimerFired):
                return  # It was kept, and an event before it has ended the wait.
            if message.event.task_id not in life.run.answered:
                raise self._violated(f"I10: {where} without effect")
        elif isinstance(message, m.StartWorkflow):
            if life is None:
                raise self._violated(f"I10: {where} and there is no such instance")
            if message.request_id not in life.requests and message.event.parent is not None:
                parent = message.event.parent
                answer = f"child:{parent.key}:{parent.execution}:{parent.task_id}"
                txn.refused.add((parent.instance_id, answer))
        elif isinstance(message, m.RaiseEvent):
            if life and not life.status.is_terminal and not life.has_seen(message.request_id):
                raise self._violated(f"I5: {where} without effect")
        elif isinstance(message, m.Terminate) and life is not None and not life.status.is_terminal:
            raise self._violated(f"I10: {where} and it goes on")

    def _take_reminders(self, txn: Transaction) -> None:
        for _, key, name, *_ in txn.cleared:
            if key in self.by_key:
                self.by_key[key].reminders.pop(name, None)
        for _, key, name, due_us, *_ in txn.set:
            self.by_key[key].reminders[name] = due_us

    def _check_reminders(self, life: Life, *, is_new_turn: bool) -> None:
        if life.status is h.Status.STALLED:
            return
        run, names = life.run, set(life.reminders)
        if life.status.is_terminal or life.is_gone:
            if names:
                raise self._violated(f"'{life.instance_id}' has ended, with reminders {names}")
            return
        waited = {f"{run.number}:{t}" for t in run.timers if t not in run.answered}
        if not names <= waited:
            raise self._violated(f"'{life.instance_id}' has reminders {sorted(names - waited)}")
        for event in run.turns[-1].outgoing if is_new_turn and not run.is_past else ():
            if isinstance(event, h.TimerCreated) and f"{run.number}:{event.task_id}" not in names:
                raise self._violated(f"'{life.instance_id}' waits for a timer without a reminder")

    # ----

    def _trace(self, txn: Transaction, author: Author) -> None:
        if txn.slots or txn.generations or txn.node_states:
            moved = [(n[1], n[3]) for n in txn.slots]
            self._world.log("CLUSTER", author.name, txn.generations, txn.node_states, moved)
        self._world.log(
            "COMMIT",
            author.name,
            [(n[1], n[2], n[3]) for n in txn.appended],
            [(n[2], h.Status(n[5]).name) for n in (*txn.created, *txn.updated)],
            [n[2] for n in txn.deleted],
            [n[1:3] for n in txn.consumed],
            list(txn.sent),
        )

    def _violated(self, what: str) -> Violation:
        return self._world.violated(what)
