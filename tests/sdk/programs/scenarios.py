"""Scenarios by name, run one after the other, with one JSON line about each.

{"scenario": …, "ok": …, "got": …, "error": …}; a scenario that the SDK cannot express is not run,
and its line has "unsupported" instead. Whether `got` is right is for the test to say.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

WAIT_SECONDS = 20.0
"""Only a limit for what hangs: nothing waits for it to pass."""

PHRASES = (
    *("no such instance exists", "orchestration has not yet completed", "workflow is stalled"),
    *("already exists", "does not exist with ID", "is not in a terminal state"),
    *("has already been created", "does not have history event", "not found"),
)
"""The parts of error texts that clients look for; what stands around them may differ."""


class Scenarios:
    """The scenarios of one driver, in the order in which they were written."""

    def __init__(self) -> None:
        self._all: dict[str, tuple[Callable[..., Any], bool]] = {}

    def add(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates a scenario that belongs to `all`."""
        self._all[function.__name__] = function, True
        return function

    def alone(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates a scenario that is run only by its name: it needs workers of its own."""
        self._all[function.__name__] = function, False
        return function

    def run(self, names: Iterable[str], client: Any) -> None:
        """Run them; `all` stands for most of them, and `-` for the lines on standard input.

        A name may be followed by a space and a JSON list of arguments.
        """
        for name in names:
            if name == "-":
                self.run((line.strip() for line in iter(sys.stdin.readline, "")), client)
            elif name == "all":
                self.run([one for one, (_, usual) in self._all.items() if usual], client)
            else:
                first, _, arguments = name.partition(" ")
                self._run_one(first, client, json.loads(arguments or "[]"))

    def _run_one(self, name: str, client: Any, arguments: list[Any]) -> None:
        line: dict[str, Any] = {"scenario": name, "ok": True, "got": None, "error": None}
        began = time.monotonic()
        try:
            line["got"] = self._all[name][0](client, *arguments)
        except Unsupported as unsupported:
            line["unsupported"] = str(unsupported)
        except Exception as error:
            traceback.print_exc()
            line |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
        line["seconds"] = round(time.monotonic() - began, 3)
        print(json.dumps(line), flush=True)


class Unsupported(Exception):
    """This SDK has no words for it."""


def until(reached: Callable[[], Any]) -> Any:
    """Wait until something is so, and return it. Only for what nothing announces."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := reached()):
        if time.monotonic() > deadline:
            raise AssertionError(f"it has not come to pass within {WAIT_SECONDS} seconds")
        time.sleep(0.01)
    return found


def refusal(act: Callable[[], Any]) -> str | None:
    """What a call is refused with, by the phrase that counts; None if it is not."""
    try:
        act()
    except Exception as error:
        text = _text(error)
        return next((phrase for phrase in PHRASES if phrase in text), text)
    return None


def code(act: Callable[[], Any]) -> str | None:
    """The name of the gRPC status that a call is refused with."""
    try:
        act()
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        return str(error.code().name)
    return None


def _text(error: Any) -> str:
    return str(error.details() if hasattr(error, "code") else error)
