"""What a program says to the benchmark that has started it. An edge module.

A line of JSON when it is ready, and one for each line that it reads; it ends with its input.
"""

import json
import resource
import sys
from collections.abc import Callable
from typing import Any

Questions = dict[str, Callable[[], Any]]


def cpu_seconds() -> float:
    """CPU of this process with all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def answer_questions(more: Questions | None = None) -> None:
    """Say that all is ready, then answer until nobody asks any more."""
    questions: Questions = {"cpu": cpu_seconds, **(more or {})}
    _say("ready")
    for line in sys.stdin:
        _say(questions[line.strip()]())


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
