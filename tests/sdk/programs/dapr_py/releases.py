"""One workflow as it looks in several releases of an application, by version and by patch.

And two halves of an application, in workers of which each lacks what the other has.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from tests.sdk.programs.dapr_py import flows

Steps = Generator[Any, Any, Any]


def one_more(_ctx: Any, number: int) -> int:
    return number + 1


def version1(ctx: Any) -> Steps:
    number = yield ctx.call_activity(one_more, input=1)
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("go")
    return ["version1", (yield ctx.call_activity(one_more, input=number))]


def version2(ctx: Any) -> Steps:
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("go")
    return ["version2"]


def unpatched(ctx: Any) -> Steps:
    yield ctx.call_activity(one_more, input=1)
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("go")
    return "unpatched"


def patched(ctx: Any) -> Steps:
    yield ctx.call_activity(one_more, input=1)
    early = ctx.is_patched("early")
    ctx.set_custom_status("waiting")
    yield ctx.wait_for_external_event("go")
    return [early, ctx.is_patched("late")]


def weigh(_ctx: Any, number: int) -> int:
    return 10 * number


def sell(ctx: Any, of: dict[str, Any]) -> Steps:
    """Calls what another worker has by name."""
    weight = yield ctx.call_activity(weigh, input=of["number"])
    more = yield ctx.call_activity(of["activity"], input=weight)
    return (yield ctx.call_child_workflow("chain", input=more))


def _half(workflow: Callable[..., Any], activity: Callable[..., Any]) -> Callable[[Any], None]:
    def register(runtime: Any) -> None:
        runtime.register_workflow(workflow)
        runtime.register_activity(activity)

    return register


def _versions(*versions: Callable[..., Any]) -> Callable[[Any], None]:
    """Register these; the last one is what new instances run."""

    def register(runtime: Any) -> None:
        runtime.register_activity(one_more)
        for version in versions:
            runtime.register_versioned_workflow(
                version,
                name="versioned",
                version_name=version.__name__,
                is_latest=version is versions[-1],
            )

    return register


def _patching(workflow: Callable[..., Any]) -> Callable[[Any], None]:
    def register(runtime: Any) -> None:
        runtime.register_activity(one_more)
        runtime.register_workflow(workflow, name="patching")

    return register


RELEASES: dict[str, Callable[[Any], None]] = {
    "v1": _versions(version1),
    "v2": _versions(version2),
    "v1+v2": _versions(version1, version2),
    "unpatched": _patching(unpatched),
    "patched": _patching(patched),
    "sells": _half(sell, weigh),
    "counts": _half(flows.chain, flows.add_one),
}
