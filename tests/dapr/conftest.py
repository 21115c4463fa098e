from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import perdure.dapr as wf


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an unmodified program finds: its own folder, a free port, and no Dapr."""
    for name in ("PERDURE_URL", "DAPR_GRPC_ENDPOINT", "DAPR_GRPC_PORT", "DAPR_RUNTIME_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DAPR_HTTP_ENDPOINT", "DAPR_HTTP_PORT", "DAPR_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PERDURE_STORE", str(tmp_path / "dapr.db"))
    monkeypatch.setenv("PERDURE_PORT", "0")
    monkeypatch.setenv("PERDURE_DURABILITY", "normal")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runtime() -> Iterator[wf.WorkflowRuntime]:
    """A runtime that is shut down at the end; the test registers, and starts it."""
    runtime = wf.WorkflowRuntime()
    yield runtime
    runtime.shutdown()


@pytest.fixture
def client() -> Iterator[wf.DaprWorkflowClient]:
    client = wf.DaprWorkflowClient()
    yield client
    client.close()


def eventually(reached: Callable[[], bool]) -> None:
    """Wait until something is so. Only for what nothing announces."""
    pause = threading.Event()
    for _ in range(2000):
        if reached():
            return
        pause.wait(0.0025)
    raise AssertionError("it has not come to pass within five seconds")


def finished(client: wf.DaprWorkflowClient, instance_id: str) -> wf.WorkflowState:
    """The state of an instance that comes to its end."""
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=10)
    assert state is not None
    return state


def state_of(client: wf.DaprWorkflowClient, instance_id: str) -> wf.WorkflowState:
    state = client.get_workflow_state(instance_id)
    assert state is not None
    return state
