# Which rules of a policy cannot be judged for whom: a rule that never has data must not look healthy.
from collections.abc import Mapping
from dataclasses import dataclass

from virtwatch_api.nodemonitor import Unavailable
from virtwatch_operator.conditions import Finding, fails, holds, unknown
from virtwatch_operator.policies import PolicyFacts
from virtwatch_operator.rollup.reports import Presence, Report
from virtwatch_operator.rollup.wording import count

_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Lacking:
    rule: str
    signal: str
    why: str
    targets: int
    nodes: int
    example: str


def judged(facts: PolicyFacts, presence: Presence, reports: Mapping[str, Report]) -> Finding:
    """Say which targets do not give what which rule asks for, and why."""
    if facts.in_force is None:
        return unknown("Judged", "NothingInForce", "Nothing is judged: no generation is valid yet.")
    if not presence.reporting:
        return unknown("Judged", "NoNodes", "Nobody judges: no node reports.")
    lacking = _summed(reports)
    if not lacking:
        return holds("Judged", "Complete", "Every rule can be judged for all that it selects.")
    rest = len(lacking) - _NAMED
    named = " ".join(_sentence(item) for item in lacking[:_NAMED])
    more = f" And {count(rest, 'more signal')} {'is' if rest == 1 else 'are'} missing." if rest > 0 else ""
    return fails("Judged", "SignalsMissing", f"{named}{more}")


def _summed(reports: Mapping[str, Report]) -> list[_Lacking]:
    found: dict[tuple[str, str, str], list[tuple[str, Unavailable]]] = {}
    for node, report in reports.items():
        for item in report.applied.unavailable if report.applied is not None else ():
            found.setdefault((item.rule, item.signal, item.why), []).append((node, item))
    summed = [
        _Lacking(
            rule,
            signal,
            why,
            targets=sum(item.targets for _, item in named),
            nodes=len(named),
            example=min(f"{item.example} on node {node}" for node, item in named),
        )
        for (rule, signal, why), named in found.items()
    ]
    return sorted(summed, key=lambda item: (-item.targets, item.rule, item.signal, item.why))


def _sentence(item: _Lacking) -> str:
    where = f" on {count(item.nodes, 'node')}" if item.nodes > 1 else ""
    others = f" and {item.targets - 1} more{where}" if item.targets > 1 else ""
    return f"Rule {item.rule} cannot be judged for {item.example}{others}: no {item.signal} ({item.why})."
