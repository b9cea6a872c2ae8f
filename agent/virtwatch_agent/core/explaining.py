"""Answers why a target is judged as it is, from what the agent judges by."""

from virtwatch_agent.core.context import Context
from virtwatch_agent.judge.target import Target
from virtwatch_agent.observations import Answer
from virtwatch_rules.answer import lines, rule_documents
from virtwatch_rules.explanation import explain


def answer_about(target: Target, context: Context, *, at: float) -> Answer:
    """Explain a target as of `at`, seconds since 1970."""
    explanation = explain(
        target.selector_identity,
        context.thresholds,
        evaluator=target.evaluator if target.resolved else None,
        at=at,
        node_labels=dict(context.node_labels),
    )
    note = "" if target.resolved else "the agent does not know yet which rules apply, so that nothing is judged"
    missing = {item.signal: item.why for item in target.missing}
    head = [target.subject.described, *(f"  problem: {problem}" for problem in explanation.problems)]
    return Answer(at, note, [*head, *lines(explanation, missing=missing)], rule_documents(explanation, missing=missing))
