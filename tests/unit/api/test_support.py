"""What this version cannot judge is refused, by the compiler and by an agent that is fed it."""

from dataclasses import replace

import pytest
import yaml

from virtwatch_api import support
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import (
    Aggregate,
    AllOf,
    AnomalyRule,
    Bound,
    Collection,
    Comparison,
    ConditionRule,
    CountPattern,
    EventMatch,
    EventRule,
    Level,
    Mode,
    PatternRule,
    Rule,
    Severity,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.problem import ProblemReason
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import Scope
from virtwatch_api.rule_kinds.registry import RULE_KINDS, read_rules
from virtwatch_rules.registry import ENGINES

LEVEL = Level(Bound.ABOVE, 0.5, 0.5)
THRESHOLD = ThresholdRule("vm.cpu.utilization", Aggregate(), LEVEL, None, Timing())
COMPARISON = Comparison("vm.cpu.utilization", Aggregate(), LEVEL)
BODIES = {
    "threshold": THRESHOLD,
    "condition": ConditionRule(
        Severity.WARNING, AllOf((Comparison("vm.cpu.utilization", Aggregate(), LEVEL),)), Timing()
    ),
    "event": EventRule(Severity.WARNING, EventMatch("vm.crashed"), (), 60.0),
    "pattern": PatternRule(Severity.WARNING, CountPattern(EventMatch("vm.crashed"), 3, 60.0)),
    "anomaly": AnomalyRule(Severity.WARNING, ("vm.cpu.utilization",), "Medium"),
}


def _unsupported(*rules, target=None, collection=None):
    found = support.unsupported(target=target or Target(), collection=collection or Collection(), rules=rules)
    return {item.path: str(item) for item in found if item.reason is ProblemReason.NOT_IMPLEMENTED}


@pytest.fixture
def planned_signal(monkeypatch):
    """Judge as a version that does not collect a signal yet."""
    name = "vm.memory.balloon"
    monkeypatch.setitem(support.SIGNAL, name, replace(support.SIGNAL[name], formula=None))
    return name


@pytest.mark.parametrize("kind", [kind.name for kind in RULE_KINDS])
def test_a_rule_is_refused_exactly_when_its_kind_has_no_engine(kind):
    found = _unsupported(Rule("r", BODIES[kind]))

    assert set(found) == (set() if kind in support.rule_kinds() else {f"spec.rules[0].{kind}"})


def test_a_kind_that_is_accepted_has_an_engine():
    assert {type(body) for kind, body in BODIES.items() if kind in support.rule_kinds()} <= {e.body for e in ENGINES}


def test_a_signal_that_nothing_collects_is_named_with_its_rule(planned_signal):
    name = planned_signal
    found = _unsupported(Rule("a", THRESHOLD), Rule("b", ThresholdRule(name, Aggregate(), LEVEL, None, Timing())))

    assert list(found) == ["spec.rules[1].threshold.signal"]
    assert found["spec.rules[1].threshold.signal"].startswith(
        f'spec.rules[1].threshold.signal: rule "b": collecting {name} is not implemented'
    )


def test_a_mode_a_target_and_a_share_without_support_are_named():
    found = _unsupported(
        target=Target(TargetKind.NETWORK),
        collection=Collection(Mode.SAMPLED, share=0.5),
    )

    assert bool(found.get("spec.target.kind")) is (TargetKind.NETWORK not in support.TARGETS)
    assert bool(found.get("spec.collection.mode")) is (Mode.SAMPLED not in support.MODES)
    assert bool(found.get("spec.collection.share")) is not support.SHARES


def test_every_kind_of_rule_names_what_it_needs():
    for kind in RULE_KINDS:
        assert list(kind.needs(BODIES[kind.name]))


@pytest.mark.parametrize("kind", RULE_KINDS, ids=lambda kind: kind.name)
def test_the_example_of_each_kind_is_valid(kind):
    problems = []
    rules = Cursor([yaml.safe_load(kind.example)], "rules", problems)

    assert [type(rule.body) for rule in read_rules(rules, Scope())] == [kind.body]
    assert problems == []
