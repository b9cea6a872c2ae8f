"""Current values beside the bounds of their rules: what one line of a table, or one object, holds. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from virtwatch_agent.observations import Standing
from virtwatch_api.bounds import scale_named
from virtwatch_api.nodemonitor_codec import format_time
from virtwatch_api.policy import Level, ThresholdRule
from virtwatch_rules.wording import describe_bound, describe_recovery, describe_seconds

_CANNOT = "cannot tell"


@dataclass(frozen=True, slots=True)
class Value:
    """Hold how one rule stands for one VM and device; `closeness` orders those within bounds, the closest first."""

    target: str
    rule: str
    now: str
    warning: str
    critical: str
    state: str
    rank: int
    closeness: float


def as_value(item: Standing) -> Value:
    """Write how a rule stands, for a person."""
    explained, body = item.explained, item.effective.rule.body
    evidence, state = explained.evidence, explained.state
    warning, critical = (body.warning, body.critical) if isinstance(body, ThresholdRule) else (None, None)
    if state.severity is not None:
        said, rank = state.severity.value, state.severity.rank + 2
    elif state.pending:
        said, rank = "pending", 2
    else:
        said, rank = ("", 1) if not item.missing else (_CANNOT, 0)
    return Value(
        target=f"{item.subject} {explained.name.device}".rstrip(),
        rule=explained.name.rule,
        now=now_text(item),
        warning=_bound(body, warning),
        critical=_bound(body, critical),
        state=said,
        rank=rank,
        closeness=_closeness(evidence.value, warning or critical),
    )


def now_text(item: Standing) -> str:
    """Write the current value as people read it."""
    evidence = item.explained.evidence
    if evidence.value is not None:
        return scale_named(evidence.subject, evidence.function).format(evidence.value, beside=evidence.bound)
    return "" if item.missing or not isinstance(item.effective.rule.body, ThresholdRule) else "no value"


def measured(items: Iterable[Standing]) -> list[Standing]:
    """Leave out the rules that measure nothing, such as those on events."""
    return [item for item in items if isinstance(item.effective.rule.body, ThresholdRule)]


def worst_first(items: Iterable[Standing]) -> list[Value]:
    """Return how rules stand: what fires first, then what is closest to its bound."""
    shown = [
        item
        for item in items
        if item.explained.evidence.value is not None
        or item.explained.state.firing
        or isinstance(item.effective.rule.body, ThresholdRule)
    ]
    return sorted(
        (as_value(item) for item in shown),
        key=lambda value: (-value.rank, -value.closeness, value.target, value.rule),
    )


def as_json(item: Standing) -> dict[str, Any]:
    """Write how a rule stands, for a machine."""
    explained, rule = item.explained, item.effective.rule
    state, evidence, body = explained.state, explained.evidence, rule.body
    bounds: dict[str, Any] = {}
    if isinstance(body, ThresholdRule):
        for name, level in (("warning", body.warning), ("critical", body.critical)):
            if level is not None:
                bounds[name] = {
                    level.bound.value: level.value,
                    "recover": level.recover,
                    "text": describe_bound(body.signal, body.aggregate, level),
                    "recoverText": describe_recovery(body.signal, body.aggregate, level),
                }
        bounds["for"] = describe_seconds(body.timing.for_)
        bounds["unit"] = scale_named(body.signal, body.aggregate.function.value).unit
    return {
        "virtualMachine": str(item.subject),
        "uuid": item.subject.target.id,
        **({"device": explained.name.device} if explained.name.device else {}),
        "policy": str(explained.name.policy),
        "rule": rule.name,
        "signal": evidence.subject,
        "value": evidence.value,
        "now": now_text(item),
        "text": evidence.text,
        **bounds,
        "state": state.severity.value if state.severity else "Pending" if state.pending else "Inactive",
        **({"since": format_time(state.since)} if state.since is not None else {}),
        "next": explained.next_step,
        **({"missing": item.missing} if item.missing else {}),
    }


def _bound(body: object, level: Level | None) -> str:
    if level is None or not isinstance(body, ThresholdRule):
        return ""
    return describe_bound(body.signal, body.aggregate, level)


def _closeness(value: float | None, level: Level | None) -> float:
    """Say how close to its bound a value is: 1 is at it, 0 far away or unknown."""
    if value is None or level is None:
        return 0.0
    near, far = (value, level.value) if level.bound.value == "above" else (level.value, value)
    return min(1.0, near / far) if far > 0 and near > 0 else 0.0
