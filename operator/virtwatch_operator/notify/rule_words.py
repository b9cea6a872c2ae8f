"""What a rule's author wants said with its alerts. Pure."""

from collections.abc import Mapping

from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import Rule
from virtwatch_api.summary import render
from virtwatch_operator.figures import bound_text, value_text
from virtwatch_operator.notify.outbox import RuleWords


def rule_words(rule: Rule | None, transition: Transition) -> RuleWords:
    """Return a rule's summary with an alert's names and figures filled in, its runbook and its labels."""
    if rule is None:
        return RuleWords()
    return RuleWords(
        summary=render(rule.summary, _values(transition)) if rule.summary else "",
        runbook=rule.runbook_url,
        labels=dict(rule.labels),
    )


def _values(transition: Transition) -> Mapping[str, str]:
    alert, subject, evidence = transition.alert, transition.subject, transition.evidence
    return {
        "target": str(subject),
        "namespace": subject.namespace or alert.policy.namespace or "",
        "node": subject.node,
        "policy": str(alert.policy),
        "rule": alert.rule,
        "severity": str(transition.severity or transition.previous or ""),
        "signal": evidence.subject,
        "device": alert.device,
        "value": value_text(evidence),
        "bound": bound_text(evidence),
    }
