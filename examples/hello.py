"""The smallest workflow there is.

perdure serve examples/hello.py
perdure workflow run hello --input '"Ada"' --wait
"""

from __future__ import annotations

import perdure


@perdure.activity
def greet(name: str) -> str:
    return f"Hello, {name}!"


@perdure.workflow
async def hello(ctx: perdure.WorkflowContext, name: str = "world") -> str:
    greeting: str = await ctx.call_activity(greet, input=name)
    return greeting
