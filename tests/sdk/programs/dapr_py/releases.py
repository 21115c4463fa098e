"""One workflow as it looks in several releases of an application, by version and by patch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

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
}
