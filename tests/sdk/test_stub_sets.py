"""Our messages beside an SDK's in one process: the two share no names, and mean the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.sdk.environments import DAPR_1_17, DAPR_1_18, DAPR_1_19, DURABLETASK, Sdk, python_of
from tests.support.source import ROOT

DAPR, MICROSOFT = "dapr.ext.workflow._durabletask.internal", "durabletask.internal"
THEIRS = {DAPR_1_19: DAPR, DAPR_1_18: DAPR, DAPR_1_17: MICROSOFT, DURABLETASK: MICROSOFT}

SCRIPT = """
import importlib, sys
ours, theirs = (importlib.import_module(name) for name in sys.argv[1:3])
if sys.argv[3] == "theirs":
    ours, theirs = theirs, ours

def request(stubs, **fields):
    made = stubs.CreateInstanceRequest(name="shop", instanceId="a|b", **fields)
    made.input.value = '"in"'
    made.scheduledStartTimestamp.seconds, made.scheduledStartTimestamp.nanos = 2**33, 123456789
    return made

for one, other in ((ours, theirs), (theirs, ours)):
    sent = request(one).SerializeToString()
    assert other.CreateInstanceRequest.FromString(sent) == request(other), sent
"""


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize(
    "sdk",
    [pytest.param(sdk, id=sdk.name, marks=pytest.mark.xdist_group(sdk.name)) for sdk in THEIRS],
)
def test_our_messages_and_those_of_an_sdk_share_a_process(
    sdk: Sdk, first: str, tmp_path: Path
) -> None:
    names = ["perdure.runtime.rpc.taskhub_pb2", f"{THEIRS[sdk]}.orchestrator_service_pb2"]
    if first == "theirs":
        names.reverse()
    done = subprocess.run(
        [str(python_of(sdk)), "-c", SCRIPT, *names, first],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
