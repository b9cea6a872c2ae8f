"""An explanation for people and for machines."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from virtwatch_api.alert import AlertState
from virtwatch_api.duration import format_duration
from virtwatch_cli.explain.sources import Answer
from virtwatch_rules.explanation import RuleExplained
from virtwatch_rules.verdict import Explained

_LABEL = 10


def as_text(answer: Answer) -> str:
    """Write an explanation for people."""
    return "\n".join(_lines(answer))


def as_json(answer: Answer) -> str:
    """Write an explanation for machines."""
    rules = [
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
            "missing": [{"signal": signal, "why": why} for signal, why in _missing(rule, answer)],
            "events": list(rule.events),
        }
        for rule in answer.explanation.rules
    ]
    problems = list(answer.explanation.problems)
    document: dict[str, Any] = {"target": answer.target, "state": answer.state, "note": answer.note, "rules": rules}
    document["contention"] = answer.contention
    return json.dumps({**document, "problems": problems}, indent=2)


def _alert(item: Explained) -> dict[str, Any]:
    state = item.state
    return {
        "device": item.name.device,
        "state": _state(state),
        "since": state.since,
        "now": item.evidence.text,
        "next": item.next_step,
    }


def _lines(answer: Answer) -> Iterator[str]:
    yield f"{answer.target} ({answer.state}), {answer.note}"
    for problem in answer.explanation.problems:
        yield f"  problem: {problem}"
    if answer.contention:
        yield f"  contention: {answer.contention}"
    if not answer.explanation.rules:
        yield ""
        yield "No policy has a rule for it."
    for rule in answer.explanation.rules:
        yield ""
        yield from _rule(rule, answer)
    asked = list(answer.explanation.asked())
    if asked:
        yield ""
        yield "Asked for it in all:"
    for question in asked:
        yield f"  {question.source.value:<8} each {format_duration(question.every)}: {question.cost}"


def _rule(rule: RuleExplained, answer: Answer) -> Iterator[str]:
    observed = " (observed only: alerts nobody)" if rule.observed else ""
    yield f"{rule.name}{observed}"
    yield _field("from", rule.why)
    for policy, why in rule.lost:
        yield _field("replaces", f"{policy}: {why}")
    for item in rule.alerts:
        device = f"{item.name.device}: " if item.name.device else ""
        yield _field("state", device + _state(item.state) + _since(item.state))
        if item.evidence.text:
            yield _field("now", item.evidence.text)
        if item.next_step:
            yield _field("next", item.next_step)
    for question in rule.questions:
        yield _field("asks", f"{question.signal} from {question.source.value} each {format_duration(question.every)}")
    for signal, why in _missing(rule, answer):
        yield _field("cannot", f"be judged: no {signal} ({why})")
    if rule.events:
        yield _field("hears", ", ".join(rule.events))


def _missing(rule: RuleExplained, answer: Answer) -> list[tuple[str, str]]:
    signals = dict.fromkeys(question.signal for question in rule.questions)
    return [(signal, answer.missing[signal]) for signal in signals if signal in answer.missing]


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
