-- Schema version 2: several nodes, and several apps, to a database.

ALTER TABLE nodes ADD COLUMN peer_address TEXT NOT NULL DEFAULT '';

-- The app of the workflow that called, where it is another one than the child's own.
ALTER TABLE workflows ADD COLUMN parent_app TEXT;

-- Each node looks for what falls due in its own slots.
DROP INDEX reminders_by_due;
CREATE INDEX reminders_by_due ON reminders (due_us, slot);
