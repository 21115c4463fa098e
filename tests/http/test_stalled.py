"""An instance whose code has changed or gone, as clients see it before and after the repair."""

from __future__ import annotations

import pytest

from perdure.runtime.workflow.registry import Registry
from tests.http.conftest import Serving
from tests.http.test_workflows import STALLED_TEXTS
from tests.support.http_node import Shop
from tests.support.http_server import Answer, Server

BASE = "/v1.0/workflows/dapr"
NO_VERB = {"raiseEvent/paid": "RAISE_EVENT"}


def shop(first_step: str) -> Registry:
    """The app in the release whose orders begin with this activity."""
    release = Shop()
    release.first_steps["w1"] = first_step
    return release.app


async def elsewhere(ctx: object) -> None:
    """A workflow of an app that has no `order` any more."""


def without_orders() -> Registry:
    app = Registry()
    app.add_workflow(elsewhere)
    return app


OTHERS = {
    "other code": (shop("pack"), "history has activity 'charge' with no input as task 1 at "),
    "no such name": (without_orders(), "workflow 'order' is not registered"),
}


@pytest.fixture(params=list(OTHERS.values()), ids=list(OTHERS))
def other(request: pytest.FixtureRequest) -> tuple[Registry, str]:
    """An app that cannot go on with what `shop("charge")` began, and what is said of it."""
    found: tuple[Registry, str] = request.param
    return found


async def begun(serving: Serving) -> None:
    async with serving(shop("charge")) as (server, _):
        assert (await server.post(f"{BASE}/order/start?instanceID=w1", "1")).status == 202


async def act(server: Server, action: str) -> Answer:
    return await server.post(f"{BASE}/w1/{action}")


async def test_after_a_restart_with_unfit_code_an_instance_refuses_every_action(
    serving: Serving, other: tuple[Registry, str]
) -> None:
    app, reason = other
    await begun(serving)
    async with serving(app) as (server, _):
        assert "workflow is stalled" in (await act(server, "pause")).error[2]
        for _ in range(2):
            for action, text in STALLED_TEXTS.items():
                status, code, message = (await act(server, action)).error
                verb = NO_VERB.get(action, action.upper())
                assert (status, code) == (500, f"ERR_{verb}_WORKFLOW")
                assert message.startswith(text)
                assert reason in message
        found = (await server.get(f"{BASE}/w1")).json
        assert (found["runtimeStatus"], found["workflowName"]) == ("UNKNOWN", "order")
        assert reason in found["properties"]["perdure.stalled.reason"]
        assert (await server.get(f"{BASE}/w1/history")).json["runtimeStatus"] == "STALLED"
        found = (await server.get(f"{BASE}/w1?wait=STALLED")).json
        assert found["runtimeStatus"] == "STALLED"


async def test_a_stalled_instance_can_be_purged_by_force_and_its_id_used_again(
    serving: Serving, other: tuple[Registry, str]
) -> None:
    app, _ = other
    await begun(serving)
    async with serving(app) as (server, _):
        assert (await act(server, "pause")).status == 500
        assert (await act(server, "purge?force=true")).status == 202
        assert (await server.get(f"{BASE}/w1")).status == 404
        assert (await server.post(f"{BASE}/elsewhere/start?instanceID=w1")).status == 202


async def test_a_resume_with_the_right_code_back_lets_a_stalled_instance_go_on(
    serving: Serving, other: tuple[Registry, str]
) -> None:
    app, _ = other
    await begun(serving)
    async with serving(app) as (server, _):
        assert (await act(server, "resume")).error[:2] == (500, "ERR_RESUME_WORKFLOW")
    async with serving(shop("charge")) as (server, _):
        assert (await act(server, "resume")).status == 202
        assert (await server.get(f"{BASE}/w1")).json["runtimeStatus"] == "RUNNING"
        assert (await server.post(f"{BASE}/w1/raiseEvent/end", '"done"')).status == 202
        found = (await server.get(f"{BASE}/w1?wait=completed")).json
        assert found["runtimeStatus"] == "COMPLETED"


async def test_an_event_that_brings_the_stall_to_light_is_kept(serving: Serving) -> None:
    await begun(serving)
    async with serving(shop("pack")) as (server, _):
        assert (await server.post(f"{BASE}/w1/raiseEvent/end", '"done"')).status == 202
        found = (await server.get(f"{BASE}/w1?wait=STALLED")).json
        assert found["runtimeStatus"] == "STALLED"
    async with serving(shop("charge")) as (server, _):
        assert (await act(server, "resume")).status == 202
        found = (await server.get(f"{BASE}/w1?wait=completed")).json
        assert found["properties"]["dapr.workflow.output"] == '"done"'
