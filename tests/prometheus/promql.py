"""What Prometheus says of the same cases: rules written in PromQL, judged by promtool's unit tests of rules."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.prometheus.cases import INSTANTS, SIGNALS, Case
from tests.prometheus.judged import CRITICAL, NOTHING, WARNING
from virtwatch_api.policy import Aggregate, AllOf, AnyOf, Bound, Comparison, Function, Level, MissingData, ThresholdRule

_OVER_TIME = {
    Function.AVG: "avg_over_time",
    Function.MAX: "max_over_time",
    Function.MIN: "min_over_time",
    Function.SUM: "sum_over_time",
}
_TIME = re.compile(r"time: (\w+),\s+exp: nil\s+got: (.*)")
_ALERT = re.compile(r'alertname="c(\d+)([WC])"')


def ask(promtool: Path, cases: Sequence[Case], folder: Path) -> dict[int, str]:
    """Judge cases by promtool; return the severity at each instant by the number of the case."""
    said = {case.number: [NOTHING] * INSTANTS for case in cases}
    for interval in sorted({case.interval for case in cases}):
        alike = [case for case in cases if case.interval == interval]
        for instant, number, severity in _run(promtool, alike, interval, folder):
            if said[number][instant] != CRITICAL:
                said[number][instant] = severity
    return {number: "".join(severities) for number, severities in said.items()}


def _run(promtool: Path, cases: Sequence[Case], interval: float, folder: Path) -> list[tuple[int, int, str]]:
    every = f"{interval:g}s"
    group = {"name": "g", "interval": every, "rules": [rule for case in cases for rule in rules(case)]}
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    test = {
        "interval": every,
        "input_series": [item for case in cases for item in series(case)],
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{instant * interval:g}s"}
            for instant in range(INSTANTS)
        ],
    }
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    command = [str(promtool), "--enable-feature=promql-experimental-functions", "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    answers = _TIME.findall(done.stderr)
    if not answers:
        raise AssertionError(f"promtool says nothing of ours:\n{done.stdout}\n{done.stderr[:2000]}")
    return [
        (round(_seconds(time) / interval), int(number), severity)
        for time, got in answers
        for number, severity in _ALERT.findall(got)
    ]


def _seconds(duration: str) -> float:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(amount) * units[unit] for amount, unit in re.findall(r"(\d+)(ms|[hms])", duration))


def series(case: Case) -> list[dict[str, str]]:
    """Return a case's samples as promtool reads them."""
    return [
        {
            "series": f'{_name(signal)}{{case="{case.number}"}}',
            "values": " ".join("_" if value is None else repr(value) for value in values),
        }
        for signal, values in case.series.items()
    ]


def rules(case: Case) -> list[dict[str, Any]]:
    """Return a case's alerts as Prometheus rules: one for each level."""
    rule = case.rule
    waits = {"for": f"{rule.timing.for_:g}s", "keep_firing_for": f"{rule.timing.keep_firing_for:g}s"}
    if not isinstance(rule, ThresholdRule):
        return [{"alert": f"c{case.number}W", "expr": _tree(case, rule.condition), **waits}]
    alerts = []
    critical = _level(case, rule, rule.critical, CRITICAL) if rule.critical else ""
    missing = _missing(case, rule)
    if critical and missing:  # what fires stays as it is, else the mildest level holds
        critical += f" or {missing}" if not rule.warning else f" or ({missing} and on() {_fires(case, CRITICAL)})"
    if critical:
        alerts.append((CRITICAL, critical))
    if rule.warning:
        parts = [critical, _level(case, rule, rule.warning, WARNING), missing]
        alerts.append((WARNING, " or ".join(part for part in parts if part)))
    return [{"alert": f"c{case.number}{severity}", "expr": expr, **waits} for severity, expr in alerts]


def _missing(case: Case, rule: ThresholdRule) -> str:
    """Return what is true while a signal has no data, where that fires; Count has always some."""
    if rule.timing.missing_data is not MissingData.ALERT or rule.aggregate.function is Function.COUNT:
        return ""
    reach = max(case.stale, rule.aggregate.window)
    seen = f"last_over_time({_metric(case, rule.signal)}[1h])"
    return f"count({seen} unless last_over_time({_metric(case, rule.signal)}[{reach:g}s]))"


def _level(case: Case, rule: ThresholdRule, level: Level, severity: str) -> str:
    """Return what is true while a level holds: past the bound, or while it fires, not back at the recovery."""
    value = _aggregate(case, rule.signal, rule.aggregate)
    breached = f"count({value} {_past(level, level.value)})"
    if level.recover == level.value:
        return breached
    return f"{breached} or (count({value} {_past(level, level.recover)}) and on() {_fires(case, severity)})"


def _fires(case: Case, severity: str) -> str:
    return f'ALERTS{{alertname="c{case.number}{severity}",alertstate="firing"}}'


def _past(level: Level, value: float) -> str:
    return f"{'>' if level.bound is Bound.ABOVE else '<'} {value!r}"


def _tree(case: Case, tree: Comparison | AllOf | AnyOf) -> str:
    if isinstance(tree, Comparison):
        return f"count({_aggregate(case, tree.signal, tree.aggregate)} {_past(tree.level, tree.level.value)})"
    word = " and " if isinstance(tree, AllOf) else " or "
    return f"({word.join(_tree(case, part) for part in tree.parts)})"


def _aggregate(case: Case, signal: str, aggregate: Aggregate) -> str:
    metric, window = _metric(case, signal), f"[{aggregate.window:g}s]"
    match aggregate.function:
        case Function.LAST:
            return f"last_over_time({metric}[{case.stale:g}s])"
        case Function.P95:
            return f"quantile_over_time(0.95, {metric}{window})"
        case Function.COUNT:
            return f"(count_over_time({metric}{window}) or (0 * last_over_time({metric}[1h])))"
        case Function.RATE:
            growth = f"(last_over_time({metric}{window}) - first_over_time({metric}{window}))"
            return f"({growth} / (ts_of_last_over_time({metric}{window}) - ts_of_first_over_time({metric}{window})))"
        case function:
            return f"{_OVER_TIME[function]}({metric}{window})"


def _metric(case: Case, signal: str) -> str:
    return f'{_name(signal)}{{case="{case.number}"}}'


def _name(signal: str) -> str:
    return f"x{SIGNALS.index(signal)}"
