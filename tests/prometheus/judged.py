"""What virtwatch says of a case: the severity at each instant."""

from collections.abc import Iterator
from itertools import count

from tests.prometheus.cases import INSTANTS, Case
from tests.unit.rules.judged import POLICY, T0, effective
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator
from virtwatch_rules.inputs import Measured, Point
from virtwatch_rules.verdict import Verdict

# One character per instant.
NOTHING, WARNING, CRITICAL = ".", "W", "C"


def judge(case: Case) -> str:
    """Judge a case, whose samples come late and in between which time is let pass."""
    severities, now = [NOTHING] * INSTANTS, NOTHING
    changes = {round((item.change.at - T0) / case.interval): item.change.severity for item in _verdicts(case)}
    for instant in range(INSTANTS):
        if instant in changes:
            severity = changes[instant]
            now = severity.value[0] if severity is not None else NOTHING
        severities[instant] = now
    return "".join(severities)


def _verdicts(case: Case) -> Iterator[Verdict]:
    evaluator, order = Evaluator(WindowBudget()), count()
    yield from evaluator.apply({"r": effective(case.rule, interval=case.interval)}, [POLICY], at=T0 - 1e6)
    arrivals: list[tuple[float, int, Measured | None]] = [(at, next(order), None) for at in case.ticks]
    first = min(n for values in case.series.values() for n, value in enumerate(values) if value is not None)
    for instant in range(INSTANTS):
        points = [
            Point(name, "", value) for name, values in case.series.items() if (value := values[instant]) is not None
        ]
        due = instant * case.interval
        if points:
            arrivals.append((due + case.late[instant], next(order), Measured(T0 + due, points, frozenset(case.series))))
    # Prometheus knows no series before its first sample.
    evaluator.present = True
    for at, _, look in sorted(arrivals, key=lambda item: item[:2]):
        if look is not None:
            yield from evaluator.measured(look)
        elif at >= first * case.interval:
            yield from evaluator.tick(at=T0 + at)
    yield from evaluator.tick(at=T0 + (INSTANTS - 1) * case.interval + 10)
