"""What fired, added up: for each rule how often, on how many targets and for how long; and each alert's spans."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from virtwatch_api.alert import Action
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import PolicyKey, Rule, Severity
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.backtest.coverage import Coverage, Gap
from virtwatch_cli.table import format_table
from virtwatch_rules.recording import TargetName
from virtwatch_rules.replay import Transition
from virtwatch_rules.wording import describe_seconds


@dataclass(slots=True)
class Span:
    """Hold how long an alert fired with one severity; `end` is None while it still does."""

    begin: float
    severity: Severity
    text: str
    end: float | None = None


@dataclass(slots=True)
class AlertHistory:
    """Hold one alert of one target."""

    policy: PolicyKey
    rule: str
    target: TargetName
    device: str
    signal: str
    fired: int = 0
    spans: list[Span] = field(default_factory=list)
    band: tuple[float, float] | None = None

    def lasting(self, *, end: float) -> list[float]:
        """Return for how long it fired each time, whatever its severity; one that still fires, until `end`."""
        found: list[float] = []
        begin = None
        for index, span in enumerate(self.spans):
            begin = span.begin if begin is None else begin
            follows = index + 1 < len(self.spans) and self.spans[index + 1].begin == span.end
            if not follows:
                found.append((end if span.end is None else span.end) - begin)
                begin = None
        return found


class Summary:
    """Add up transitions."""

    def __init__(self, coverage: Coverage) -> None:
        """`coverage` says which rules could not be judged, once all was noted."""
        self.coverage = coverage
        self.alerts: dict[tuple[PolicyKey, str, TargetName, str], AlertHistory] = {}

    def note(self, transition: Transition) -> None:
        """Take a transition."""
        verdict, target = transition.verdict, transition.target
        name, change = verdict.name, verdict.change
        key = (name.policy, name.rule, target, name.device)
        alert = self.alerts.get(key)
        if alert is None:
            alert = AlertHistory(name.policy, name.rule, target, name.device, verdict.evidence.subject)
            self.alerts[key] = alert
        if alert.spans and alert.spans[-1].end is None:
            alert.spans[-1].end = transition.at
        if change.severity is not None:
            alert.spans.append(Span(transition.at, change.severity, verdict.evidence.text))
            alert.band = verdict.evidence.band or alert.band
        alert.fired += change.action is Action.FIRED

    def of(self, policy: PolicyKey, rule: str) -> Sequence[AlertHistory]:
        """Return the alerts of a rule, those that fired most first."""
        found = [alert for alert in self.alerts.values() if (alert.policy, alert.rule) == (policy, rule)]
        return sorted(found, key=lambda alert: (-alert.fired, alert.target.name, alert.device))

    def gap(self, thresholds: ThresholdSet, rule: Rule) -> Gap | None:
        """Say why a rule could not be judged; what fired could, by what is missing."""
        gap = self.coverage.gap(thresholds, rule)
        return None if gap is not None and gap.whole and self.of(thresholds.policy, rule.name) else gap

    def lines(self, thresholds: Sequence[ThresholdSet], *, targets: int, end: float, as_json: bool) -> Iterator[str]:
        """Yield the sum, for people or for machines; the recording ends at `end`."""
        rows = [
            _Row(str(item.policy), rule.name, self.of(item.policy, rule.name), self.gap(item, rule), end)
            for item in thresholds
            for rule in item.rules
        ]
        if as_json:
            yield from (json.dumps(row.document()) for row in rows)
            return
        fired = sum(alert.fired for alert in self.alerts.values())
        where = {alert.target for alert in self.alerts.values() if alert.fired}
        yield ""
        if all(row.unjudged for row in rows):
            yield "Nothing could be judged."
        else:
            yield f"Would have fired {times(fired)} on {_targets(where)}, of {targets} in the recording."
        yield ""
        yield format_table(
            ("POLICY", "RULE", "FIRED", "TARGETS", "TIME FIRING", "LONGEST"),
            [(row.policy, row.rule, *row.cells()) for row in rows],
        )
        gaps = [f"{row.policy} {row.rule}: {describe_gap(row.gap)}" for row in rows if row.gap is not None]
        yield from ["", *gaps] if gaps else []


@dataclass(frozen=True, slots=True)
class _Row:
    """Hold what is summed up of one rule."""

    policy: str
    rule: str
    alerts: Sequence[AlertHistory]
    gap: Gap | None
    end: float

    @property
    def unjudged(self) -> bool:
        return self.gap is not None and self.gap.whole

    def document(self) -> dict[str, str | float]:
        document: dict[str, str | float] = {"policy": self.policy, "rule": self.rule}
        document |= _figures(self.alerts, end=self.end)
        if self.gap is not None:
            document["notJudged" if self.gap.whole else "partlyJudged"] = self.gap.text
        return document

    def cells(self) -> tuple[str, str, str, str]:
        return ("not judged", "-", "-", "-") if self.unjudged else _cells(self.alerts, end=self.end)


def describe_gap(gap: Gap) -> str:
    """Say in how far a rule could not be judged, and why."""
    return f"not judged: {gap.text}" if gap.whole else f"judged in part: {gap.text}"


def _figures(alerts: Sequence[AlertHistory], *, end: float) -> dict[str, float]:
    lasting = [seconds for alert in alerts for seconds in alert.lasting(end=end)]
    return {
        "fired": sum(alert.fired for alert in alerts),
        "targets": len({alert.target for alert in alerts if alert.fired}),
        "firingSeconds": round(sum(lasting), 3),
        "longestSeconds": round(max(lasting, default=0.0), 3),
        "firingAtEnd": sum(bool(alert.spans) and alert.spans[-1].end is None for alert in alerts),
    }


def _cells(alerts: Sequence[AlertHistory], *, end: float) -> tuple[str, str, str, str]:
    figures = _figures(alerts, end=end)
    still = f" and {figures['firingAtEnd']} still firing" if figures["firingAtEnd"] else ""
    return (
        f"{figures['fired']}",
        f"{figures['targets']}",
        describe_seconds(round(figures["firingSeconds"])) + still,
        describe_seconds(round(figures["longestSeconds"])),
    )


def times(count: int) -> str:
    """Write a count as people say it."""
    return "once" if count == 1 else f"{count} times"


def _targets(where: set[TargetName]) -> str:
    machines = sum(target.kind is TargetKind.VIRTUAL_MACHINE for target in where)
    if machines == len(where):
        return f"{machines} VM{'' if machines == 1 else 's'}"
    return f"{len(where)} targets"
