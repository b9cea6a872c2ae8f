"""Values and bounds of alerts as people read them."""

from virtwatch_api.bounds import scale_named
from virtwatch_api.nodemonitor import Evidence


def value_text(evidence: Evidence) -> str:
    """Write an alert's value, empty where it has none: an event has no value."""
    return _text(evidence, evidence.value, beside=evidence.bound)


def bound_text(evidence: Evidence) -> str:
    """Write the bound that an alert's value passed, empty where it has none."""
    return _text(evidence, evidence.bound, beside=evidence.value)


def _text(evidence: Evidence, value: float | None, *, beside: float | None) -> str:
    if value is None:
        return ""
    return scale_named(evidence.subject, evidence.function).format(value, beside=beside)
