"""An explanation in words and as a document: the same from the command, an agent and the operator."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from virtwatch_api.alert import AlertState
from virtwatch_api.duration import format_duration
from virtwatch_rules.explanation import Explanation, RuleExplained
from virtwatch_rules.verdict import Explained

_LABEL = 10
_NOTHING: Mapping[str, str] = {}


def rule_documents(explanation: Explanation, *, missing: Mapping[str, str] = _NOTHING) -> list[dict[str, Any]]:
    """Write each rule for machines; `missing` says why a signal has no value."""
    return [
        {
            "rule": rule.name,
            "inForce": rule.in_force is not None,
            "policy": str(rule.in_force.thresholds.policy) if rule.in_force else None,
            "enforcement": rule.in_force.thresholds.enforcement.value if rule.in_force else None,
            "why": rule.why,
            "replaces": [{"policy": policy, "why": why} for policy, why in rule.lost],
            "alerts": [_alert(item) for item in rule.alerts],
            "asks": [
                {"signal": item.signal, "source": item.source.value, "everySeconds": item.every, "cost": item.cost}
                for item in rule.questions
            ],
            "missing": [{"signal": signal, "why": why} for signal, why in _missing(rule, missing)],
            "events": list(rule.events),
        }
        for rule in explanation.rules
    ]


def lines(explanation: Explanation, *, missing: Mapping[str, str] = _NOTHING) -> Iterator[str]:
    """Write each rule, and what is asked for all of them, for people."""
    if not explanation.rules:
        yield ""
        yield "No policy has a rule for it."
    for rule in explanation.rules:
        yield ""
        yield from _rule(rule, missing)
    asked = list(explanation.asked())
    if asked:
        yield ""
        yield "Asked for it in all:"
    collected = explanation.collected()
    for question in asked:
        how = collected[question.source]
        each = f"each {format_duration(how.interval)}, mode {how.mode}"
        yield f"  {question.source.value:<8} {each} ({how.because}): {question.cost}"


def _alert(item: Explained) -> dict[str, Any]:
    state = item.state
    return {
        "device": item.name.device,
        "state": _state(state),
        "since": state.since,
        "now": item.evidence.sentence,
        "next": item.next_step,
    }


def _missing(rule: RuleExplained, missing: Mapping[str, str]) -> list[tuple[str, str]]:
    signals = dict.fromkeys(question.signal for question in rule.questions)
    return [(signal, missing[signal]) for signal in signals if signal in missing]


def _rule(rule: RuleExplained, missing: Mapping[str, str]) -> Iterator[str]:
    observed = " (observed only: alerts nobody)" if rule.observed else ""
    yield f"{rule.name}{observed}"
    yield _field("from", rule.why)
    for policy, why in rule.lost:
        yield _field("replaces", f"{policy}: {why}")
    for item in rule.alerts:
        device = f"{item.name.device}: " if item.name.device else ""
        yield _field("state", device + _state(item.state) + _since(item.state))
        if item.evidence.text:
            yield _field("now", item.evidence.sentence)
        if item.next_step:
            yield _field("next", item.next_step)
    for question in rule.questions:
        yield _field("asks", f"{question.signal} from {question.source.value} each {format_duration(question.every)}")
    for signal, why in _missing(rule, missing):
        yield _field("cannot", f"be judged: no {signal} ({why})")
    if rule.events:
        yield _field("hears", ", ".join(rule.events))


def _field(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"


def _state(state: AlertState) -> str:
    if state.severity is not None:
        return f"firing {state.severity}"
    return "pending" if state.pending else "inactive"


def _since(state: AlertState) -> str:
    pending = [since for since in (state.critical_since, state.warning_since) if since is not None]
    since = state.since if state.firing else min(pending, default=None)
    return "" if since is None else f" since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC"
