"""Durable workflows as actors.

Values: `history`, `codec`, `records`, `messages`, `payload`, `retry`, `failure`, `registry`.
The deterministic side: `loop`, `task`, `context`, `execution`. The actors: `workflow_actor`,
`activities.runner`. The door: `service`, which both the HTTP API and in-process callers use.
"""
