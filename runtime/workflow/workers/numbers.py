"""Task ids of ours and action ids of workers. A value module.

A worker numbers its actions itself. Two things do not fit our task ids: some workers ask again
under the same number when they retry, and some begin with 0, which is our own timer of a delayed
start. So a task id is the action's number plus a multiple of `ROUND`.
"""

from __future__ import annotations

ROUND = 1_000_000
"""How many actions one run of a worker's code may take."""


def action_id(task_id: int) -> int:
    """The number under which the worker knows a task."""
    return task_id % ROUND


def first_task_id(action: int) -> int:
    """The task id of an action whose number is used for the first time in its run."""
    return action or ROUND


def next_round(task_id: int) -> int:
    """The task id of the same action asked for once more."""
    return task_id + ROUND
