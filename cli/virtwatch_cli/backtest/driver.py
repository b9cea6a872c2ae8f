"""Reads policies and recordings, replays them, and prints what comes of it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from virtwatch_api.alert import Action
from virtwatch_api.names import printable
from virtwatch_api.policy import Enforcement
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.backtest.chart import write_page
from virtwatch_cli.backtest.judging import Judging
from virtwatch_cli.backtest.recordings import BacktestError, cut_off
from virtwatch_cli.backtest.summary import Summary
from virtwatch_cli.backtest.trace import Traces
from virtwatch_cli.policy_files import list_policy_files, read_policy_files
from virtwatch_rules.replay import Transition


def backtest(policies: Sequence[Path], samples: Sequence[Path], *, page: Path | None, as_json: bool) -> None:
    """Judge recordings by policies and print the transitions and their sum.

    Raises:
        BacktestError: a policy is invalid, or a recording cannot be read.
    """
    thresholds = read_thresholds(policies)
    traces = Traces(thresholds) if page else None
    judging = Judging(thresholds, samples, traces=traces)
    summary = Summary(judging.coverage)
    for transition in judging.run():
        summary.note(transition)
        print(_json(transition) if as_json else _text(transition))
    if judging.late:
        print(
            f"warning: {judging.late} lines are older than a line above them and were left out; sort the recording",
            file=sys.stderr,
        )
    for name in judging.cut_off:
        print(f"warning: {cut_off(name)}", file=sys.stderr)
    for line in summary.lines(thresholds, targets=judging.targets, end=judging.end, as_json=as_json):
        print(line)
    if page is not None and traces is not None:
        try:
            page.write_text(write_page(thresholds, summary, traces, end=judging.end), encoding="utf-8")
        except OSError as error:
            raise BacktestError(f"cannot write {page}: {error.strerror}") from error


def read_thresholds(paths: Sequence[Path], *, enforced: bool = True) -> list[ThresholdSet]:
    """Read policies; with `enforced`, one that only observes or is suspended is judged as if it were not.

    Raises:
        BacktestError: a policy is invalid, or there is none.
    """
    files = read_policy_files(list_policy_files(paths))
    findings = [str(finding) for file in files for finding in file.findings]
    if findings:
        raise BacktestError("\n".join(findings))
    found = [thresholds for file in files for thresholds in file.thresholds]
    if not found:
        raise BacktestError("there is no MonitorPolicy and no ClusterMonitorPolicy in these files")
    return [replace(item, enforcement=Enforcement.ENFORCE) for item in found] if enforced else found


def _text(transition: Transition) -> str:
    verdict = transition.verdict
    change, name = verdict.change, verdict.name
    time = datetime.fromtimestamp(transition.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    severity = change.severity or change.previous
    device = f" ({name.device})" if name.device else ""
    what = f"{change.action.value:<9} {severity.value if severity else '':<8}"
    reason = f" [{change.reason.value}]" if change.action is Action.RESOLVED else ""
    return printable(f"{time}  {what}  {transition.target}{device}  {name.rule}  {verdict.evidence.text}{reason}")


def _json(transition: Transition) -> str:
    verdict = transition.verdict
    change, name = verdict.change, verdict.name
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(transition.at, UTC).isoformat().replace("+00:00", "Z"),
        "action": change.action.value,
        "reason": change.reason.value,
        "severity": change.severity.value if change.severity else None,
        "policy": str(name.policy),
        "rule": name.rule,
        "target": transition.target.name,
        "device": name.device,
        "evidence": verdict.evidence.text,
    }
    return json.dumps(line)
