"""An SDK that cannot be had is left out, but never where somebody counts on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.sdk import environments
from tests.sdk.environments import Sdk, python_of

NOWHERE = Sdk("nowhere", ("--index-url=http://127.0.0.1:9/simple", "dapr==1.19.0"))
"""Port 9 takes no connections."""


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "PERDURE_SDK_TESTS", *(one for one in os.environ if "INDEX_URL" in one)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environments, "HOME", tmp_path / "home")
    monkeypatch.setattr(environments, "_unavailable", {})


def test_a_registry_that_is_away_leaves_the_tests_out_but_fails_them_on_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(pytest.skip.Exception, match="nowhere cannot be installed"):
        python_of(NOWHERE)
    for name, value in (("CI", "true"), ("PERDURE_SDK_TESTS", "require")):
        monkeypatch.setenv(name, value)
        with pytest.raises(pytest.fail.Exception, match="nowhere cannot be installed"):
            python_of(NOWHERE)
        monkeypatch.delenv(name)


def test_a_release_that_does_not_exist_is_a_failure_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: _Failed())
    with pytest.raises(pytest.fail.Exception, match="No matching distribution"):
        python_of(Sdk("typo", ("dapr==0.0.0",)))


class _Failed:
    returncode, stdout = 1, ""
    stderr = "ERROR: No matching distribution found for dapr==0.0.0"


def test_an_environment_is_made_once_and_again_when_its_requirements_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(environments, "_run", lambda command, *_: commands.append(command[-1]))
    for _ in range(2):
        python_of(Sdk("one", ("first==1",)))
    python_of(Sdk("one", ("second==2",)))
    place = str(environments.HOME / "one")
    assert commands == [place, "first==1", place, "second==2"]


def test_without_node_there_is_nothing_to_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception, match=r"no Node\.js"):
        environments.node_project(environments.DAPR_JS)
    monkeypatch.setenv("PERDURE_SDK_TESTS", "require")
    with pytest.raises(pytest.fail.Exception, match=r"no Node\.js"):
        environments.node_project(environments.DAPR_JS)
