"""Microsoft's own server in memory, to compare with: microsoft_backend.py PORT. An edge module."""

import sys

from durabletask.testing import create_test_backend

from benchmarks.programs.answering import answer_questions


def main(port: str) -> None:
    backend = create_test_backend(port=int(port), max_history_size=100_000)
    answer_questions()
    backend.stop()


if __name__ == "__main__":
    main(sys.argv[1])
