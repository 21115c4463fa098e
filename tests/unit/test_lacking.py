"""What is remembered of the names that workers lack, and of workers that have gone."""

from __future__ import annotations

from perdure.runtime.workflow.workers.capacity import Code
from perdure.runtime.workflow.workers.lacking import RETURN_SECONDS, Absent, Lacking

SHIP, BILL = Code(True, "ship"), Code(True, "bill")


class Has:
    """A worker."""

    def __init__(self, *codes: Code) -> None:
        self.codes = codes

    def may_have(self, code: Code) -> bool:
        return code in self.codes


def test_what_is_lacked_is_news_once() -> None:
    lacking = Lacking()
    assert SHIP not in lacking
    assert [lacking.add(SHIP), lacking.add(SHIP), lacking.add(BILL)] == [True, False, True]
    assert SHIP in lacking
    assert Code(False, "ship") not in lacking
    assert list(lacking) == [SHIP, BILL]


def test_names_without_end_are_not_kept() -> None:
    lacking = Lacking()
    for number in range(3000):
        lacking.add(Code(True, f"n{number}"))
    assert len(lacking) == 1000
    assert Code(True, "n2999") in lacking
    assert Code(True, "n0") not in lacking


def test_who_has_gone_may_have_what_it_had_for_a_while() -> None:
    absent = Absent()
    assert not absent.may_have(SHIP, 0.0)
    absent.gone(Has(SHIP), 0.0)
    assert absent.may_have(SHIP, RETURN_SECONDS - 1)
    assert not absent.may_have(BILL, 0.0)
    assert not absent.may_have(SHIP, RETURN_SECONDS)


def test_nobody_is_waited_for_once_as_many_have_come_as_had_gone() -> None:
    absent = Absent()
    absent.gone(Has(SHIP), 0.0)
    absent.gone(Has(BILL), 0.0)
    absent.came(1.0)
    assert absent.may_have(SHIP, 1.0)  # The one that has come may be the other one.
    absent.came(2.0)
    assert not absent.may_have(SHIP, 2.0)
    assert not absent.may_have(BILL, 2.0)


def test_who_came_before_anybody_had_gone_replaces_nobody() -> None:
    absent = Absent()
    absent.came(0.0)
    absent.gone(Has(SHIP), 1.0)
    assert absent.may_have(SHIP, 1.0)
    absent.came(2.0)
    absent.gone(Has(SHIP), 3.0)
    assert absent.may_have(SHIP, 3.0)
