"""Why a target is judged as it is: each rule in force, what it replaced, how its alerts stand, and what it asks for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from virtwatch_api.catalogue.entries import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.policy import Enforcement
from virtwatch_api.resolution import EffectiveRule, Ranked, rank_rules
from virtwatch_api.targets import TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.collecting import InForce, in_force
from virtwatch_rules.evaluator import Evaluator, base_interval
from virtwatch_rules.inputs import Input, Wants
from virtwatch_rules.registry import engine_of
from virtwatch_rules.verdict import Explained


@dataclass(frozen=True, slots=True)
class Question:
    """Say what is asked of one source for a rule, how often (seconds), and what one look costs, for people."""

    signal: str
    source: Source
    every: float

    @property
    def cost(self) -> str:
        """Say what one look costs."""
        return self.source.cost


@dataclass(frozen=True, slots=True)
class RuleExplained:
    """Hold one rule by name.

    `in_force` is None where an annotation switched it off. `lost` pairs each policy whose rule of that name does not
    apply with why. `alerts` is empty where nothing is known of its state.
    """

    name: str
    in_force: EffectiveRule | None
    why: str
    lost: tuple[tuple[str, str], ...]
    alerts: tuple[Explained, ...]
    questions: tuple[Question, ...]
    events: tuple[str, ...]
    wants: tuple[Input, ...] = ()

    @property
    def observed(self) -> bool:
        """Return whether its alerts are counted only."""
        return self.in_force is not None and self.in_force.thresholds.enforcement is Enforcement.OBSERVE


@dataclass(frozen=True, slots=True)
class Explanation:
    """Hold the answer; `problems` are sentences on annotations that could not be followed."""

    rules: tuple[RuleExplained, ...]
    problems: tuple[str, ...] = ()

    def collected(self) -> Mapping[Source, InForce]:
        """Return how each source is asked for all rules together, and which rule decides that."""
        asked = [(rule.in_force, rule.wants) for rule in self.rules if rule.in_force is not None]
        return in_force((effective, item) for effective, wants in asked for item in wants)

    def asked(self) -> Iterator[Question]:
        """Yield what is asked of each source for all rules together: as often as the most demanding rule needs."""
        often: dict[Source, Question] = {}
        for rule in self.rules:
            for question in rule.questions:
                known = often.get(question.source)
                if known is None or question.every < known.every:
                    often[question.source] = question
        yield from often.values()


def explain(
    target: TargetIdentity,
    all_thresholds: Iterable[ThresholdSet],
    *,
    evaluator: Evaluator | None = None,
    at: float = 0.0,
    node_labels: dict[str, str] | None = None,
) -> Explanation:
    """Explain a target as of `at`; without an evaluator the resolution alone."""
    ranked = rank_rules(target, all_thresholds, node_labels=node_labels)
    alerts: dict[str, list[Explained]] = {}
    for explained in evaluator.explain(at=at) if evaluator is not None else ():
        alerts.setdefault(explained.name.rule, []).append(explained)
    rules = tuple(_rule(name, ranked, alerts.get(name, ())) for name in sorted(ranked.candidates))
    return Explanation(rules, ranked.resolution.problems)


def _rule(name: str, ranked: Ranked, alerts: Sequence[Explained]) -> RuleExplained:
    candidates = ranked.candidates[name]
    applies = ranked.resolution.rules.get(name)
    winner = candidates[0]
    lost = tuple((str(other.thresholds.policy), ranked.why_lost(winner, other)) for other in candidates[1:])
    why = applies.why if applies is not None else f"{winner.why}; an annotation of the target switches it off"
    wants = _wants(applies) if applies is not None else Wants()
    events = tuple(sorted(wants.events))
    return RuleExplained(name, applies, why, lost, tuple(alerts), _questions(wants), events, wants.inputs)


def _wants(effective: EffectiveRule) -> Wants:
    engine = engine_of(effective.rule.body)
    if engine is None:
        return Wants()
    return engine.wants(effective.rule.body, interval=base_interval(effective.thresholds.collection))


def _questions(wants: Wants) -> tuple[Question, ...]:
    questions = [
        Question(asked.signal, source, asked.interval)
        for asked in wants.inputs
        for source in sorted(SIGNAL[asked.signal].sources)
    ]
    return tuple(dict.fromkeys(questions))
