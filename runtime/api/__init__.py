"""The HTTP API: Dapr's workflow management API and our extensions of it.

Read in this order: `operations` (the table that routes, validates and documents), `parameters`,
`ports`; `app` (the index), `workflows`, `health` (one function per operation); `errors`, `answers`,
`render` (what is answered); `routing`, `guard`, `call`, `server` (how).
"""
