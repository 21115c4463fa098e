"""The watchdog: when it warns of a loop that stands still, and when it ends the turn on it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from perdure.runtime.watchdog import Standstill, Verdict, Watchdog, WatchdogConfig
from perdure.runtime.workflow.loop import EndlessTurn

CONFIG = WatchdogConfig(warn_seconds=2.0, interrupt_seconds=10.0)


def _looks(standstill: Standstill, *ticks: bool) -> list[Verdict]:
    return [standstill.looked(1.0, has_ticked) for has_ticked in ticks]


def test_a_loop_that_moves_between_two_looks_is_well() -> None:
    assert set(_looks(Standstill(CONFIG), *[True] * 30)) == {Verdict.WELL}


def test_a_standstill_is_told_once_and_ended_again_and_again() -> None:
    verdicts = _looks(Standstill(CONFIG), *[False] * 32)
    assert [n for n, verdict in enumerate(verdicts, 1) if verdict is Verdict.WARN] == [2]
    ends = [n for n, verdict in enumerate(verdicts, 1) if verdict is Verdict.INTERRUPT]
    assert ends == [10, 20, 30]


def test_many_short_standstills_are_no_long_one() -> None:
    verdicts = _looks(Standstill(CONFIG), *[False, True] * 10)
    assert set(verdicts) == {Verdict.WELL}


def test_a_process_that_was_stopped_has_not_stood_still() -> None:
    """It could not look meanwhile: whatever the clock says, this is one look."""
    assert _looks(Standstill(CONFIG), True, False, True) == [Verdict.WELL] * 3


async def test_a_turn_that_does_not_end_is_ended_and_nothing_else_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turn = ""
    config = WatchdogConfig(warn_seconds=0.02, interrupt_seconds=0.1)
    async with Watchdog(lambda: turn, logging.getLogger("perdure.tests"), config):
        await asyncio.sleep(0)
        while not any("blocked" in text for text in caplog.messages):
            pass  # Not a turn: it is warned of, and left alone.
        turn = "workflow/endless"
        with pytest.raises(EndlessTurn, match="is there a loop without an `await`"):
            _go_on_for_ever()
        turn = ""
    assert any("is ended" in text for text in caplog.messages)


def _go_on_for_ever() -> None:
    while True:
        pass
