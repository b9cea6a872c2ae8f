"""Values and bounds of alerts as people read them."""

from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Evidence


def value_text(evidence: Evidence) -> str:
    """Write an alert's value, empty where it has none: an event has no value."""
    return _text(evidence.subject, evidence.value, beside=evidence.bound)


def bound_text(evidence: Evidence) -> str:
    """Write the bound that an alert's value passed, empty where it has none."""
    return _text(evidence.subject, evidence.bound, beside=evidence.value)


def _text(name: str, value: float | None, *, beside: float | None) -> str:
    if value is None:
        return ""
    signal = SIGNAL.get(name)
    return signal.format(value, beside=beside) if signal is not None else f"{value:.4g}"
