# Conditions as metav1.Condition means them: lastTransitionTime moves when the status flips, and only then.
from collections.abc import Iterable
from dataclasses import dataclass, replace

from virtwatch_api.nodemonitor import Condition
from virtwatch_api.nodemonitor_codec import Json, decode_condition


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold what a condition says now: `reason` is one CamelCase word, `message` is sentences for people."""

    type: str
    status: bool | None
    reason: str
    message: str


def holds(type_: str, reason: str, message: str) -> Finding:
    """Find a condition True."""
    return Finding(type_, status=True, reason=reason, message=message)


def fails(type_: str, reason: str, message: str) -> Finding:
    """Find a condition False."""
    return Finding(type_, status=False, reason=reason, message=message)


def unknown(type_: str, reason: str, message: str) -> Finding:
    """Find that nobody can tell."""
    return Finding(type_, status=None, reason=reason, message=message)


def settle(
    findings: Iterable[Finding], previous: Iterable[Condition], *, generation: int, now: float
) -> tuple[Condition, ...]:
    """Turn findings into conditions; one whose status stays keeps the time of its last flip."""
    before = {condition.type: condition for condition in previous}
    settled = []
    for finding in findings:
        fresh = Condition(finding.type, finding.status, finding.reason, finding.message, now, generation)
        old = before.get(finding.type)
        settled.append(replace(fresh, since=old.since) if old and old.status is finding.status else fresh)
    return tuple(settled)


def read_conditions(status: Json) -> tuple[Condition, ...]:
    """Read the conditions of a status that the API server has validated."""
    return tuple(decode_condition(item) for item in status.get("conditions", []))
