"""What a client says to a node over HTTP, and how it reads the answers. No I/O here.

Values, from the wire upwards: `errors`, `state` (instances as a client sees them), `cluster` (the
nodes as it sees them), `calls` (one request each), `flow` (several requests: retries, long polls),
`operations` (what a client can do), with `values`, `settings` and `tracing` (the caller's span).
`perdure.runtime.client` and `perdure.runtime.sync_client` carry the bytes.
"""
