"""The durable side: one SQLite file, and the same SQL on an in-memory database.

Values: `rows` (a row and its checksums), `batch` (units of work as prepared rows), `failures`
(what an error of SQLite means), `runner` (the port), `errors`. Transactions, as plain functions of
a connection: `transaction`, `commit`, `load`, `scan`, `reads`, `membership`, `migrations`. Edges:
`connection` (threads), `lock`, `checkpoint`, `filesystem`, `opening`. Owner: `sqlite`, the store
itself.
"""
