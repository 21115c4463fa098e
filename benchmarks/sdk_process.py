"""An SDK's program in a process of its own, in the SDK's own environment. An edge module.

The SDKs conflict with each other, so each has a virtual environment under `.venv-sdk`; one that is
missing is made, which needs the network once. The tests use the same ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_ROOT = Path(__file__).parents[1]
_HOME = _ROOT / ".venv-sdk"

DAPR = "dapr-1.19"
DURABLETASK = "durabletask-1.12"
_REQUIREMENTS = {DAPR: "dapr==1.19.0", DURABLETASK: "durabletask==1.12.0"}


class SdkProcess:
    """Owns the process from enter to exit; leaving it ends its input, and so the program."""

    def __init__(self, sdk: str, program: str, port: int) -> None:
        self._command = ("-m", f"benchmarks.programs.{program}", str(port))
        self._sdk = sdk
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> SdkProcess:
        quiet = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = await asyncio.create_subprocess_exec(
            _python_of(self._sdk),
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=quiet,
            cwd=_ROOT,
        )
        await self._answer()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def cpu_seconds(self) -> float:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"cpu\n")
        found: float = await self._answer()
        return found

    async def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._command)} has ended; run it by hand to see why")
        return json.loads(line)


def _python_of(sdk: str) -> str:
    python = _HOME / sdk / "bin" / "python"
    if not python.exists():
        print(f"making {python.parents[1]} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", _REQUIREMENTS[sdk]]
        subprocess.run(pip, check=True)
    return str(python)
