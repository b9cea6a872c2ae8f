"""Say what is wrong in policy files: file, line, field and reason."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from virtwatch_api.names import printable
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.resolution import EffectiveRule, Ranked, narrowed, never_judged
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.policy_files import Finding, PolicyFile, list_policy_files, read_policy_files

_EMPTY = "there is no MonitorPolicy, ClusterMonitorPolicy or NotificationChannel in these files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the files and the format."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="policy files, or folders of them; - is the standard input"
    )
    parser.add_argument(
        "-f",
        "--file",
        action="extend",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="the same, as for kubectl",
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "github"),
        default="text",
        help="format (default: text); github annotates the files of a pull request",
    )
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Print every finding and every object that is valid; return 1 when something is wrong or nothing is there."""
    paths = [*arguments.paths, *arguments.file]
    if not paths:
        arguments.usage_error("name at least one file or folder, for example: virtwatch check policies/")
    files = read_policy_files(list_policy_files(paths))
    valid = sum(len(file.thresholds) + len(file.channels) for file in files)
    findings = [finding for file in files for finding in file.findings]
    lines = {"text": _text, "json": _json, "github": _github}[arguments.output](files)
    for line in lines:
        print(line)
    if not valid and not findings:
        print(f"error: {_EMPTY}", file=sys.stderr)
    return 0 if valid and not findings else 1


def _text(files: Sequence[PolicyFile]) -> Iterable[str]:
    for file in files:
        yield from map(str, file.findings)
        yield from file.others
        for item in _valid(file):
            rules = f" ({_count(item['rules'])})" if "rules" in item else ""
            yield f"{printable(str(file.path))}: {item['kind']} {_name(item)} is valid{rules}"
    for path, warning in _warnings(files):
        yield f"{printable(str(path))}: warning: {warning}"


def _json(files: Sequence[PolicyFile]) -> Iterable[str]:
    document = {
        "valid": [{"file": str(file.path), **item} for file in files for item in _valid(file)],
        "findings": [
            {"file": str(one.file), "line": one.line, "field": one.field, "message": one.reason}
            for file in files
            for one in file.findings
        ],
        "warnings": [{"file": str(path), "message": warning} for path, warning in _warnings(files)],
        "leftOut": [other for file in files for other in file.others],
    }
    yield json.dumps(document, indent=2)


def _github(files: Sequence[PolicyFile]) -> Iterable[str]:
    for file in files:
        yield from map(_annotation, file.findings)
        yield from (f"::notice::{_escaped(other)}" for other in file.others)
    for path, warning in _warnings(files):
        yield f"::warning file={_property(str(path))},title=virtwatch check::{_escaped(warning)}"


def _warnings(files: Sequence[PolicyFile]) -> Iterator[tuple[Path, str]]:
    """Yield each rule that no target will be judged by, whatever the cluster holds, with its file."""
    paths: dict[PolicyKey, Path] = {}
    scopes: dict[tuple[PolicyKind, str | None], list[ThresholdSet]] = {}
    for file in files:
        for item in file.thresholds:
            paths[item.policy] = file.path
            if not narrowed(item):
                # Files do not say which of two policies will be the older one.
                scopes.setdefault((item.policy.kind, item.policy.namespace), []).append(replace(item, created=0.0))
    for scope in scopes.values():
        for winner, other in never_judged(scope):
            yield paths[other.thresholds.policy], _replaced(winner, other)


def _replaced(winner: EffectiveRule, other: EffectiveRule) -> str:
    first, policy, name = winner.thresholds.policy, other.thresholds.policy, other.rule.name
    decided = winner.thresholds.overridable != other.thresholds.overridable
    judged = (
        f"{Ranked.why_lost(winner, other)} and judges alone" if decided else "only that of the older policy judges them"
    )
    return (
        f"rule {name} of {policy.kind} {policy} stands in {first.kind} {first} for the same targets too: "
        f"{judged}; rename one of them"
    )


def _annotation(finding: Finding) -> str:
    where = f"file={_property(str(finding.file))}" + (f",line={finding.line}" if finding.line else "")
    said = f"{finding.field}: {finding.reason}" if finding.field else finding.reason
    return f"::error {where},title=virtwatch check::{_escaped(said)}"


def _valid(file: PolicyFile) -> Iterable[Mapping[str, object]]:
    for thresholds in file.thresholds:
        key = thresholds.policy
        namespace = {"namespace": key.namespace} if key.namespace else {}
        yield {"kind": key.kind.value, **namespace, "name": key.name, "rules": len(thresholds.rules)}
    for channel in file.channels:
        yield {"kind": "NotificationChannel", "namespace": channel.key.namespace, "name": channel.key.name}


def _name(item: Mapping[str, object]) -> str:
    return f"{item['namespace']}/{item['name']}" if "namespace" in item else str(item["name"])


def _count(rules: object) -> str:
    return f"{rules} rule" if rules == 1 else f"{rules} rules"


def _escaped(text: str) -> str:
    return printable(text.replace("%", "%25")).replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
