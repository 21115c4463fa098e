"""What each seed draws: the limits of its engines, the habits of its clients, its workers.

A value module.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from perdure.actors.committer import CommitterConfig
from perdure.actors.gate import Limits
from perdure.actors.host import HostConfig
from perdure.actors.recovery import RecoveryConfig
from perdure.actors.reminders import RemindersConfig
from perdure.runtime.engine import EngineConfig
from perdure.runtime.tenure import TenureConfig
from perdure.runtime.workflow.activities.runner import ActivityConfig
from perdure.runtime.workflow.surroundings import WorkflowConfig
from perdure.runtime.workflow.workers.capacity import Capacity
from tests.simulation.programs import FAR, FAR_GEN
from tests.simulation.story import Habits


def limits(rng: random.Random, *, has_workers: bool) -> EngineConfig:
    """Small limits make rare things frequent."""
    lease = rng.choice((2.0, 5.0))
    return EngineConfig(
        slots=rng.choice((4, 16)),
        keys_block=rng.choice((20, 100_000)),
        call_seconds=rng.choice((3.0, 15.0)),
        tenure=TenureConfig(
            app_id="sim",
            lease_seconds=lease,
            glance_seconds=0.5,
            room_seconds=rng.choice((0.5, 2.0)),
            drain_seconds=rng.choice((0.2, 2.0)),
            serves_workers=has_workers,
            turn_seconds=rng.choice((2.0, 6.0, 20.0)),
            turns_max=rng.choice((None, None, 1, 3)),
            turn_limits=rng.choice((Limits(), Limits(), Limits(4, {"main": 3}))),
            host=HostConfig(
                mailbox_limit=rng.choice((4, 1000)),
                live_actors_max=rng.choice((2, 4096)),
                idle_seconds=rng.choice((0.4, 60.0)),
                turn_messages_max=rng.choice((1, 3, 256)),
            ),
            committer=CommitterConfig(
                batch_units=rng.choice((1, 4, 256)),
                heartbeat_seconds=lease / 5,
                self_stop_seconds=0.6 * lease,
            ),
            reminders=RemindersConfig(
                horizon_seconds=rng.choice((1.0, 60.0)),
                scan_limit=rng.choice((2, 2000)),
                outstanding_max=rng.choice((2, 1000)),
            ),
            recovery=RecoveryConfig(
                scan_seconds=rng.choice((1.0, 10.0)), batch=rng.choice((2, 500))
            ),
            activities=ActivityConfig(
                concurrency=rng.choice((1, 3, 1000)),
                threads=rng.choice((1, 100)),
                backlog_max=rng.choice((2, 10_000)),
                limits=rng.choice((Limits(), Limits(), Limits(5, {"work": 4}))),
            ),
            workflows=WorkflowConfig(unclean_deaths_max=rng.choice((1, 1000, 1000))),
        ),
    )


def habits(rng: random.Random, seed: int) -> Habits:
    def some(share: float) -> float:
        return share if rng.random() < 0.4 else 0.0

    return Habits(
        suspend=some(0.5),
        terminate=some(0.3),
        purge=some(0.7),
        reuse=some(0.5),
        delay=some(0.4),
        noise=some(0.3),
        query=some(0.3),
        # By a chance of its own: all other seeds go as they did before there were any.
        rerun=random.Random(f"reruns of {seed}").choice((0.0, 0.0, 0.5)),
    )


def bad_lines(seed: int, faults: Sequence[str]) -> tuple[str, ...]:
    """By a chance of its own, as what is run again."""
    rng = random.Random(f"lines of {seed}")
    if rng.random() < 0.5:
        return ()
    return tuple(fault for fault in faults if rng.random() < 0.6)


def capacities(rng: random.Random) -> list[Capacity]:
    """One for each worker. The first one has all the code."""
    found = []
    for number in range(rng.choice((1, 2, 2, 3))):
        names = rng.choice((None, None, frozenset({FAR}), frozenset({FAR_GEN})))
        found.append(
            Capacity(
                turns=rng.choice((1, 3, 100)),
                activities=rng.choice((1, 3, 1000)),
                together=rng.choice((2, 1000, 1000)),
                turn_names=names if number else None,
                keeps_history=rng.random() < 0.5,
            )
        )
    return found
