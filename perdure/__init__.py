"""perdure: an actor-model runtime on asyncio with durable workflows."""
