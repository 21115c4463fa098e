"""Programs that use perdure: `hello`, `order_processing`, and `demo`, which tries to break it."""
