"""What this version can judge, in one place: the compiler refuses by it, and so does an agent of another version.

Kinds of rule, signals and events say it of themselves, in `rule_kinds` and the catalogue; the rest stands here.
"""

from collections.abc import Iterable, Iterator, Sequence

from virtwatch_api.catalogue.entries import WATCHED, TargetKind
from virtwatch_api.catalogue.events import EVENT, EVENTS
from virtwatch_api.catalogue.signals import SIGNAL, SIGNALS
from virtwatch_api.policy import Collection, Mode, Rule, Target
from virtwatch_api.problem import Problem, ProblemReason
from virtwatch_api.rule_kinds.kind import Need
from virtwatch_api.rule_kinds.registry import RULE_KINDS, kind_of
from virtwatch_api.thresholdset import ThresholdSet

TARGETS = frozenset(WATCHED)
MODES = frozenset(Mode)
SHARES = True  # whether a policy may look at a share of the VMs only


def rule_kinds() -> frozenset[str]:
    """Name the kinds of rule that have an engine."""
    return frozenset(kind.name for kind in RULE_KINDS if kind.implemented)


def signals(target: TargetKind) -> frozenset[str]:
    """Name the signals of a kind of target that are collected."""
    return frozenset(item.name for item in SIGNALS if item.target is target and item.formula is not None)


def events(target: TargetKind) -> frozenset[str]:
    """Name the events that are emitted and that rules on a kind of target see."""
    return frozenset(item.name for item in EVENTS if item.implemented and target in item.targets)


def unsupported(*, target: Target, collection: Collection, rules: Sequence[Rule]) -> Iterator[Problem]:
    """Say what in a valid policy or ThresholdSet this version cannot judge, each with reason NotImplemented."""
    if target.kind not in TARGETS:
        yield _missing(
            "spec.target.kind", f"watching a {target.kind} is not implemented", f"watch {_any(TARGETS)} instead"
        )
    if collection.mode not in MODES:
        yield _missing("spec.collection.mode", f"the mode {collection.mode} is not implemented", f"use {_any(MODES)}")
    if collection.share < 1 and not SHARES:
        yield _missing(
            "spec.collection.share", "looking at a share of the VMs is not implemented", "remove share to look at all"
        )
    for index, rule in enumerate(rules):
        yield from _rule(f"spec.rules[{index}]", rule)


def unsupported_in(thresholds: ThresholdSet) -> Iterator[Problem]:
    """Say what of a ThresholdSet this version cannot judge: an agent that is older than its operator rejects it."""
    return unsupported(target=thresholds.target, collection=thresholds.collection, rules=thresholds.rules)


def _rule(path: str, rule: Rule) -> Iterator[Problem]:
    kind = kind_of(rule.body)
    subject = f'rule "{rule.name}"'
    if not kind.implemented:
        yield _missing(
            f"{path}.{kind.name}",
            f"judging {some(kind.name)} is not implemented",
            f"write {_any(rule_kinds())}",
            subject,
        )
        return
    for field, what in kind.unsupported(rule.body):
        yield _missing(f"{path}.{kind.name}.{field}", f"{what} is not implemented", "remove it", subject)
    for need in kind.needs(rule.body):
        if (problem := _need(need)) is not None:
            yield _missing(f"{path}.{kind.name}.{need.field}", *problem, subject)


def _need(need: Need) -> tuple[str, str] | None:
    if need.signal and SIGNAL[need.signal].formula is None:
        return (
            f"collecting {need.signal} is not implemented",
            "choose a signal that `virtwatch signals` lists as collected",
        )
    if need.event and not EVENT[need.event].implemented:
        return f"the event {need.event} is not implemented", "choose an event that `virtwatch events` lists as emitted"
    return None


def some(name: str) -> str:
    """Return the name of a kind with its article."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _any(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))


def _missing(path: str, what: str, instead: str, subject: str = "") -> Problem:
    return Problem(path, f"{what} in this version; {instead}", ProblemReason.NOT_IMPLEMENTED, subject)
