"""A mailbox: first in, first out, bounded, and each durable message once."""

from __future__ import annotations

import pytest

from perdure.actors.errors import MailboxFull
from perdure.actors.mailbox import Mailbox
from perdure.actors.messages import Delivery


def _filled(limit: int, *bodies: str) -> Mailbox:
    mailbox = Mailbox(limit)
    for body in bodies:
        mailbox.post(Delivery(body))
    return mailbox


def _bodies(deliveries: list[Delivery]) -> list[object]:
    return [delivery.body for delivery in deliveries]


def test_messages_are_taken_in_the_order_of_their_arrival() -> None:
    mailbox = _filled(9, "a", "b", "c")
    assert _bodies(mailbox.take(2)) == ["a", "b"]
    assert _bodies(mailbox.take(2)) == ["c"]
    assert mailbox.take(2) == []


def test_a_full_mailbox_refuses_and_keeps_what_it_has() -> None:
    mailbox = _filled(2, "a", "b")
    with pytest.raises(MailboxFull, match="2 messages are waiting, the limit is 2"):
        mailbox.post(Delivery("c"))
    assert _bodies(mailbox.take_all()) == ["a", "b"]


def test_what_was_accepted_before_comes_back_into_a_full_mailbox() -> None:
    mailbox = _filled(1, "a")
    mailbox.post(Delivery("again"), bounded=False)
    assert len(mailbox) == 2


def test_what_is_put_back_comes_first_and_in_its_order() -> None:
    mailbox = _filled(9, "a", "b", "c")
    taken = mailbox.take(3)
    mailbox.post(Delivery("d"))
    mailbox.put_back(taken[1:])
    assert _bodies(mailbox.take_all()) == ["b", "c", "d"]


def test_a_durable_message_waits_once_however_often_it_is_announced() -> None:
    mailbox = Mailbox(9)
    for _ in range(3):
        mailbox.post(Delivery("row", None, "m1"))
    mailbox.post(Delivery("other", None, "m2"))
    assert _bodies(mailbox.take(1)) == ["row"]
    mailbox.post(Delivery("row", None, "m1"))
    assert _bodies(mailbox.take_all()) == ["other", "row"]


def test_a_durable_message_that_was_put_back_is_still_the_same_one() -> None:
    mailbox = Mailbox(9)
    mailbox.post(Delivery("row", None, "m1"))
    mailbox.put_back(mailbox.take_all())
    mailbox.post(Delivery("row", None, "m1"))
    assert len(mailbox) == 1


def test_a_mailbox_shows_how_full_it_is() -> None:
    assert repr(_filled(3, "a")) == "<Mailbox 1/3>"
