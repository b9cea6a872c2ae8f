"""Hypothesis searches for counterexamples; how long one example takes on a busy machine is not its business."""

from hypothesis import HealthCheck, settings

settings.register_profile("virtwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("virtwatch")
