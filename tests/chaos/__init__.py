"""A cluster of real processes, killed, frozen, drained and locked out: nothing may be lost."""
