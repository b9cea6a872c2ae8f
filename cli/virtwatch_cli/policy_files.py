# Policies in files: what each file means, and what is wrong in it, by file, line and field. No file stops another.
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from virtwatch_api.compile import compile_policy
from virtwatch_api.policy import Policy, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import GROUP, parse_policy
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.documents import Document, read_documents

_SUFFIXES = (".yaml", ".yml", ".json")
_OTHER_KINDS = ("NodeMonitor", "NotificationChannel", "ThresholdSet")


@dataclass(frozen=True, slots=True)
class Finding:
    """Name one thing that is wrong in a file: the line (0 when it is the whole file), the field and the reason."""

    file: Path
    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{where}: {self.field}: {self.reason}" if self.field else f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """Hold what one file gave: compiled policies, what is wrong, and what other kinds it holds."""

    path: Path
    thresholds: tuple[ThresholdSet, ...] = ()
    findings: tuple[Finding, ...] = ()
    others: tuple[str, ...] = ()  # a sentence for each document that is no policy


def list_policy_files(paths: Iterable[Path]) -> list[Path]:
    """Name the files: those given, and the YAML and JSON files of given folders, not of folders within them."""
    found: dict[Path, None] = {}
    for path in paths:
        try:
            inside = [item for item in sorted(path.iterdir()) if item.suffix in _SUFFIXES]
        except OSError:  # a file, or what reading it will say
            inside = [path]
        found.update(dict.fromkeys(inside))
    return list(found)


def read_policy_files(files: Iterable[Path]) -> list[PolicyFile]:
    """Read files; a policy that stands twice counts where it stands first."""
    read: list[PolicyFile] = []
    seen: dict[PolicyKey, Path] = {}
    for file in files:
        one = read_policy_file(file)
        kept: list[ThresholdSet] = []
        findings = list(one.findings)
        for thresholds in one.thresholds:
            first = seen.setdefault(thresholds.policy, file)
            if first is file and thresholds.policy not in [item.policy for item in kept]:
                kept.append(thresholds)
            else:
                reason = f"{thresholds.policy.kind} {thresholds.policy} stands in {first} already, which counts"
                findings.append(Finding(file, 0, "metadata.name", f"{reason}; rename one of them"))
        read.append(PolicyFile(file, tuple(kept), tuple(findings), one.others))
    return read


def read_policy_file(path: Path) -> PolicyFile:
    """Read every document of one file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return PolicyFile(path, findings=(Finding(path, 0, "", f"cannot be read: {error.strerror}"),))
    except UnicodeDecodeError:
        return PolicyFile(path, findings=(Finding(path, 0, "", "is not text in UTF-8"),))
    thresholds: list[ThresholdSet] = []
    findings: list[Finding] = []
    others: list[str] = []
    for item in _documents(path, text):
        match item:
            case ThresholdSet():
                thresholds.append(item)
            case Finding():
                findings.append(item)
            case str():
                others.append(item)
    findings.sort(key=lambda finding: finding.line)
    return PolicyFile(path, tuple(thresholds), tuple(findings), tuple(others))


def _documents(path: Path, text: str) -> Iterator[ThresholdSet | Finding | str]:
    try:
        for document in read_documents(text, json=path.suffix == ".json"):
            yield from _document(path, document)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        yield Finding(path, line, "", f"is not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        yield Finding(path, 0, "", f"is not YAML: {' '.join(str(error).split())}")


def _document(path: Path, document: Document) -> Iterator[ThresholdSet | Finding | str]:
    if (other := _other_kind(document.value)) is not None:
        yield f"{path}:{document.line('')}: {other}"
        return
    parsed = parse_policy(document.value)
    compiled = compile_policy(parsed) if isinstance(parsed, Policy) else parsed
    if isinstance(compiled, ThresholdSet) and not document.problems:
        yield compiled
    written = {problem.path for problem in document.problems}
    meant = () if isinstance(compiled, ThresholdSet) else (item for item in compiled if item.path not in written)
    for problem in (*document.problems, *meant):
        yield Finding(path, document.line(problem.path), problem.path, problem.sentence)


def _other_kind(document: Any) -> str | None:
    """Say what a document is that belongs beside policies and is none; None when it should be a policy."""
    if not isinstance(document, dict):
        return None
    kind, version = document.get("kind"), document.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return None
    # A misspelt kind or group must not leave a policy out.
    if kind in tuple(PolicyKind) or (version.partition("/")[0] == GROUP and kind not in _OTHER_KINDS):
        return None
    return f"a {kind} of {version} is no policy; left out"
