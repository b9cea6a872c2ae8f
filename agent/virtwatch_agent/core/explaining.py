"""Answers how targets stand and why they are judged as they are, from what the agent judges by."""

from collections.abc import Sequence

from virtwatch_agent.core.context import Context
from virtwatch_agent.core.timeline import Timeline
from virtwatch_agent.judge.target import Target
from virtwatch_agent.observations import Answer, Asked, Standing, StandingsAsked
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.question import Question
from virtwatch_rules.answer import lines, rule_documents
from virtwatch_rules.explanation import explain

_TURN_S = 0.02  # for an answer on the core's thread, while samples wait


class Answers:
    """Answer on the core's thread, from what it holds at that moment."""

    def __init__(self, context: Context, *, timeline: Timeline, clock: Clock) -> None:
        self._context = context
        self._timeline = timeline
        self._clock = clock

    def answer(self, asked: StandingsAsked | Asked, targets: Sequence[Target]) -> None:
        """Give an answer about these targets; a question about another one is another agent's."""
        match asked:
            case StandingsAsked(answer, first):
                answer(*self._standings(targets, first))
            case Asked(question, reply):
                if (target := _meant(question, targets)) is not None:
                    reply(self._about(target))

    def _standings(self, targets: Sequence[Target], first: int) -> tuple[list[Standing], int | None]:
        """Say how each rule stands for targets from a number on, until others have waited long enough."""
        began = self._clock.monotonic()
        now = self._timeline.at(began)
        found: list[Standing] = []
        for number, target in enumerate(targets[first:], first):
            if number > first and self._clock.monotonic() - began > _TURN_S:
                return found, number
            missing = {(item.policy, item.rule): item.why for item in target.missing}
            for explained in target.evaluator.explain(at=now) if target.present else ():
                name = explained.name
                why = missing.get((name.policy, name.rule), "")
                found.append(Standing(target.subject, target.rules[name.rule], explained, why))
        return found, None

    def _about(self, target: Target) -> Answer:
        at = self._timeline.at(self._clock.monotonic())
        explanation = explain(
            target.selector_identity,
            self._context.thresholds,
            evaluator=target.evaluator if target.resolved else None,
            at=at,
            node_labels=dict(self._context.node_labels),
        )
        note = "" if target.resolved else "the agent does not know yet which rules apply, so that nothing is judged"
        missing = {item.signal: item.why for item in target.missing}
        head = [target.subject.described, *(f"  problem: {problem}" for problem in explanation.problems)]
        return Answer(
            at, note, [*head, *lines(explanation, missing=missing)], rule_documents(explanation, missing=missing)
        )


def _meant(question: Question, targets: Sequence[Target]) -> Target | None:
    """Return what a question is about, where it is here."""
    for target in targets:
        if target.ref.kind is not question.kind or not target.present:
            continue
        if question.kind is not TargetKind.VIRTUAL_MACHINE:
            found = target.subject.label == question.target
        else:
            found = (target.subject.namespace, target.subject.name) == (question.namespace, question.target)
        if found:
            return target
    return None
