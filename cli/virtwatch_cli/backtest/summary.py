"""What fired, added up: for each rule how often, on how many targets and for how long; and each alert's spans."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from virtwatch_api.alert import Action
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_api.thresholdset import ThresholdSet
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

    def lasting(self) -> list[float]:
        """Return for how long it fired each time that it is over, whatever its severity."""
        found: list[float] = []
        begin = None
        for index, span in enumerate(self.spans):
            begin = span.begin if begin is None else begin
            follows = index + 1 < len(self.spans) and self.spans[index + 1].begin == span.end
            if span.end is not None and not follows:
                found.append(span.end - begin)
                begin = None
        return found


class Summary:
    """Add up transitions."""

    def __init__(self) -> None:
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

    def lines(self, thresholds: Sequence[ThresholdSet], *, targets: int, as_json: bool) -> Iterator[str]:
        """Yield the sum, for people or for machines."""
        rows = [(item.policy, rule.name, self.of(item.policy, rule.name)) for item in thresholds for rule in item.rules]
        if as_json:
            for policy, rule, alerts in rows:
                yield json.dumps({"policy": str(policy), "rule": rule, **_figures(alerts)})
            return
        fired = sum(alert.fired for alert in self.alerts.values())
        where = {alert.target for alert in self.alerts.values() if alert.fired}
        yield ""
        yield f"Would have fired {times(fired)} on {_targets(where)}, of {targets} in the recording."
        yield ""
        yield format_table(
            ("POLICY", "RULE", "FIRED", "TARGETS", "TIME FIRING", "LONGEST"),
            [(str(policy), rule, *_cells(alerts)) for policy, rule, alerts in rows],
        )


def _figures(alerts: Sequence[AlertHistory]) -> dict[str, float]:
    lasting = [seconds for alert in alerts for seconds in alert.lasting()]
    return {
        "fired": sum(alert.fired for alert in alerts),
        "targets": len({alert.target for alert in alerts if alert.fired}),
        "firingSeconds": round(sum(lasting), 3),
        "longestSeconds": round(max(lasting, default=0.0), 3),
        "firingAtEnd": sum(bool(alert.spans) and alert.spans[-1].end is None for alert in alerts),
    }


def _cells(alerts: Sequence[AlertHistory]) -> tuple[str, str, str, str]:
    figures = _figures(alerts)
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
