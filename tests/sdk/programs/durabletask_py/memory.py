"""Microsoft's own backend in memory, as a server to compare with.

python -m tests.sdk.programs.durabletask_py.memory PORT
"""

from __future__ import annotations

import sys

from durabletask.testing import create_test_backend


def main(port: str) -> None:
    backend = create_test_backend(port=int(port))
    print("READY", flush=True)
    sys.stdin.read()
    backend.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
