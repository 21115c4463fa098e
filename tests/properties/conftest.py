"""Few examples, each of many steps; nothing depends on how fast the machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "properties",
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("properties")
