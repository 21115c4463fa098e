"""Virtual actors of one node: mailbox, activation, turn, unit of work, group commit, reminders.

Knows no workflow, no HTTP, no SQL and no cluster. Read in this order: `identity`, `messages`,
`unit_of_work`, `ports`, `activation`, `redelivery` (values); `mailbox`, `live_actors`, `loader`,
`host`, `committer`, `reminders`, `recovery` (owners).
"""
