"""Property tests here have no deadline per example: a busy machine is no failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("sb", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sb")
