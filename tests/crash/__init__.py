"""A real node process, killed for real, again and again; nothing may be lost, doubled or stuck."""
