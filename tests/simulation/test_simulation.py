"""Whole nodes under seeded faults, with oracles at every commit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.rerun_mutants import LINE_MUTANTS, RERUN_MUTANTS
from tests.simulation.scenario import (
    FAULTS,
    LINE_FAULTS,
    WORKER_FAULTS,
    faults_of,
    replay_command,
    run_seed,
)
from tests.simulation.worker_mutants import WORKER_MUTANTS

ALL_MUTANTS = MUTANTS | WORKER_MUTANTS | RERUN_MUTANTS | LINE_MUTANTS
SEEDS = 300
CHUNK = 15
ROOT = Path(__file__).parents[2]

BOUNDS = {
    "answers_tasks_twice": 200,
    "applies_events_twice": 200,
    "asks_nobody_before_it_runs_again": 300,
    "believes_that_a_worker_has_what_its_last_stream_was_sent": 300,
    "hands_on_what_came_later": 200,
    "hands_over_too_early": 200,
    "leaves_children_running": 300,
    "loses_held_events": 200,
    "remembers_for_a_worker_what_its_last_stream_was_sent": 200,
    "takes_any_token": 200,
    "takes_decisions_of_other_runs": 300,
    "takes_decisions_out_of_turn": 200,
    "trusts_the_memory_of_another_run": 200,
    "works_on_what_it_gives_away": 200,
    "keeps_what_a_lost_stream_had": 200,
}
"""In how many seeds a mutant must be found, where it takes luck; 60 for the others."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_seed_keeps_every_invariant_and_comes_to_its_end(first: int) -> None:
    failed = []
    for seed in range(first, first + CHUNK):
        outcome = run_seed(seed)
        if outcome.violation is not None:
            failed.append(f"{outcome.violation}\n  again: {replay_command(seed)}")
    assert not failed, "\n".join(failed)


def test_the_seeds_between_them_meet_every_fault() -> None:
    met = {fault for seed in range(SEEDS) for fault in faults_of(seed)}
    assert met == {*FAULTS, *WORKER_FAULTS, *LINE_FAULTS}


def test_a_seed_goes_the_same_way_in_another_process_with_other_hashes() -> None:
    digests = {_digests_under(hash_seed) for hash_seed in ("1", "2")}
    assert len(digests) == 1
    assert len(digests.pop().split()) == 2 * 12


def _digests_under(hash_seed: str) -> str:
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--seeds",
        "12",
        "--first",
        "7",
        "--digest",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rpartition("12 seeds, 0 failed")[0]


@pytest.mark.parametrize("name", ALL_MUTANTS)
def test_the_engine_without_one_of_its_safeguards_is_found_out(name: str) -> None:
    bound = BOUNDS.get(name, 60)
    with ALL_MUTANTS[name]():
        found = any(run_seed(seed).violation is not None for seed in range(bound))
    assert found, f"{name} survives {bound} seeds"
