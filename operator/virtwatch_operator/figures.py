"""Values and bounds of alerts as people read them."""

from dataclasses import replace

from virtwatch_api.bounds import scale_named
from virtwatch_api.nodemonitor import Evidence


def value_text(evidence: Evidence) -> str:
    """Write an alert's value, empty where it has none: an event has no value."""
    return _text(evidence, evidence.value, beside=evidence.bound)


def bound_text(evidence: Evidence) -> str:
    """Write the bound that an alert's value passed, empty where it has none."""
    return _text(evidence, evidence.bound, beside=evidence.value)


def said(evidence: Evidence) -> str:
    """Write what was judged, and who took what the target lacks, in a sentence."""
    if evidence.text:
        return evidence.sentence
    if evidence.value is None:
        return evidence.subject
    bound = f", bound {bound_text(evidence)}" if evidence.bound is not None else ""
    return replace(evidence, text=f"{evidence.subject} is {value_text(evidence)}{bound}").sentence


def _text(evidence: Evidence, value: float | None, *, beside: float | None) -> str:
    if value is None:
        return ""
    return scale_named(evidence.subject, evidence.function).format(value, beside=beside)
