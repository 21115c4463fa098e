"""Which node owns which actor, and how to get a message there. Knows no workflow and no SQL.

Values: `membership`, `table`, `ports`, `errors`. Owners: `agent` (this node's membership and
lease), `router` (messages to wherever their actor lives).
"""
