"""One virtual environment for each SDK, made when it is first needed and kept: they conflict.

They stand under `.venv-sdk` at the root of the repository. A stamp says what is in one; it is made
again when that changes. Processes that want the same one wait for each other.

Without a network there is nothing to test, and the tests are skipped; except on CI, where that is
a failure. PERDURE_SDK_TESTS=require makes it one anywhere, PERDURE_SDK_TESTS=skip leaves them out.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.source import ROOT

HOME = ROOT / ".venv-sdk"
INSTALL_SECONDS = 600
"""Only a limit for what hangs."""
AWAY = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError"
    r"|Temporary failure in name resolution|Network is unreachable|Connection refused"
    r"|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH"
)
"""What pip and npm say if it is the network, or the registry, that is missing."""


@dataclass(frozen=True)
class Sdk:
    """An SDK as its users install it."""

    name: str
    requirements: tuple[str, ...]


DAPR_1_19 = Sdk("dapr-1.19", ("dapr==1.19.0",))
# Never 1.19 beside 1.18: both contain dapr.ext.workflow, and pip lets one overwrite the other.
DAPR_1_18 = Sdk("dapr-1.18", ("dapr==1.18.3", "dapr-ext-workflow==1.18.3"))
DAPR_1_17 = Sdk(
    "dapr-1.17", ("dapr==1.17.5", "dapr-ext-workflow==1.17.5", "durabletask-dapr==0.17.4")
)
DURABLETASK = Sdk("durabletask-1.12", ("durabletask==1.12.0",))
DAPR_JS = Sdk("dapr-js-3.18", ("@dapr/dapr@3.18.0",))

_unavailable: dict[str, str] = {}
"""Why an environment cannot be had, so that this process tries it once."""


def python_of(sdk: Sdk) -> Path:
    """The interpreter that has the SDK. Skips the test if it cannot be had."""
    with _made(sdk, f"python {sys.version_info.major}.{sys.version_info.minor}") as todo:
        if todo:
            _run([sys.executable, "-m", "venv", str(HOME / sdk.name)])
            pip = [str(HOME / sdk.name / "bin" / "python"), "-m", "pip"]
            quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"]
            _run([*pip, "install", *quiet, *sdk.requirements])
    return HOME / sdk.name / "bin" / "python"


def node_project(sdk: Sdk) -> tuple[str, Path]:
    """Node.js, and the folder whose `node_modules` has the SDK. Skips if there is no Node.js."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        # A machine without Node.js is a decision, not a fault: CI skips too, but says so.
        _leave_out("there is no Node.js with npm on this machine", fails=_asked_for())
    assert node is not None
    with _made(sdk, node) as todo:
        if todo:
            package = {
                "name": "perdure-sdk-tests",
                "private": True,
                "dependencies": dict(name.rsplit("@", 1) for name in sdk.requirements),
            }
            (HOME / sdk.name / "package.json").write_text(json.dumps(package))
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            _run([str(npm), "install", *options], HOME / sdk.name)
    return node, HOME / sdk.name


@contextlib.contextmanager
def _made(sdk: Sdk, made_with: str) -> Iterator[bool]:
    """Hold the environment's lock. True: it has to be made now, in an empty folder."""
    if os.environ.get("PERDURE_SDK_TESTS") == "skip":
        pytest.skip("PERDURE_SDK_TESTS=skip")
    if sdk.name in _unavailable:
        _leave_out(_unavailable[sdk.name], fails=_wanted())
    HOME.mkdir(exist_ok=True)
    # Nothing in here is part of the repository, whatever its own .gitignore says.
    (HOME / ".gitignore").write_text("*\n")
    place, contents = HOME / sdk.name, "\n".join([made_with, *sdk.requirements, ""])
    stamp = place / ".made"
    with (HOME / f"{sdk.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == contents:
            yield False
            return
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            yield True
        except _Away as away:
            _unavailable[sdk.name] = f"{sdk.name} cannot be installed: {away}"
            _leave_out(_unavailable[sdk.name], fails=_wanted())
        stamp.write_text(contents)


class _Away(Exception):
    """The registry cannot be reached."""


def _run(command: Sequence[str], place: Path | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return
    said = (done.stdout + done.stderr)[-2000:]
    if away := AWAY.search(said):
        raise _Away(f"{away.group()}: {said.strip().splitlines()[-1]}")
    pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{said}", pytrace=False)


def _leave_out(reason: str, *, fails: bool) -> None:
    if fails:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _asked_for() -> bool:
    return os.environ.get("PERDURE_SDK_TESTS") == "require"


def _wanted() -> bool:
    return _asked_for() or os.environ.get("CI", "").lower() in ("1", "true")
