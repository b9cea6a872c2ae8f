"""Silences: annotations on what an alert is about, which keep it from being told until a time."""

from collections.abc import Mapping

from virtwatch_api.policy_codec import timestamp

UNTIL = "virtwatch.io/silenced-until"
REASON = "virtwatch.io/silence-reason"


def silenced_until(annotations: Mapping[str, str] | None) -> float:
    """Return until when annotations silence, in seconds since 1970; 0 where they do not, or the time is none."""
    try:
        return timestamp((annotations or {}).get(UNTIL, "")) or 0.0
    except (ValueError, OverflowError):
        return 0.0
