"""Reads policies and recordings, replays them, and prints what comes of it."""

import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from virtwatch_api.alert import Action
from virtwatch_api.policy import Enforcement
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.backtest.chart import write_page
from virtwatch_cli.backtest.summary import Summary
from virtwatch_cli.backtest.trace import Traces
from virtwatch_cli.policy_files import list_policy_files, read_policy_files
from virtwatch_rules.recording import Recorded, RecordedSample, RecordingError, read_lines
from virtwatch_rules.replay import Replay, Transition


class BacktestError(Exception):
    """Say what is wrong with the input."""


def backtest(policies: Sequence[Path], samples: Sequence[Path], *, page: Path | None, as_json: bool) -> None:
    """Judge recordings by policies and print the transitions and their sum.

    Raises:
        BacktestError: a policy is invalid, or a recording cannot be read.
    """
    thresholds = read_thresholds(policies)
    replay, summary, traces = Replay(thresholds), Summary(), Traces(thresholds) if page else None
    for transition in replay.run(_traced(read_recordings(samples), traces)):
        summary.note(transition)
        print(_json(transition) if as_json else _text(transition))
    if replay.late:
        print(
            f"warning: {replay.late} lines are older than a line above them and were left out; sort the recording",
            file=sys.stderr,
        )
    for line in summary.lines(thresholds, targets=len(replay.targets), as_json=as_json):
        print(line)
    if page is not None and traces is not None:
        try:
            page.write_text(write_page(thresholds, summary, traces, end=replay.at), encoding="utf-8")
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


def read_recordings(paths: Sequence[Path]) -> Iterator[Recorded]:
    """Read recordings one after the other.

    Raises:
        BacktestError: one cannot be read.
    """
    for path in paths:
        try:
            with _opened(path) as file:
                yield from read_lines(file)
        except RecordingError as error:
            raise BacktestError(f"{path}: {error}") from error
        except OSError as error:
            raise BacktestError(f"cannot read {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise BacktestError(f"{path} is not text in UTF-8") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _traced(recorded: Iterable[Recorded], traces: Traces | None) -> Iterable[Recorded]:
    if traces is None:
        return recorded
    return _note_each(recorded, traces)


def _note_each(recorded: Iterable[Recorded], traces: Traces) -> Iterator[Recorded]:
    for item in recorded:
        if isinstance(item, RecordedSample):
            traces.note(item)
        yield item


def _text(transition: Transition) -> str:
    verdict = transition.verdict
    change, name = verdict.change, verdict.name
    time = datetime.fromtimestamp(transition.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    severity = change.severity or change.previous
    device = f" ({name.device})" if name.device else ""
    what = f"{change.action.value:<9} {severity.value if severity else '':<8}"
    reason = f" [{change.reason.value}]" if change.action is Action.RESOLVED else ""
    return f"{time}  {what}  {transition.target}{device}  {name.rule}  {verdict.evidence.text}{reason}"


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
