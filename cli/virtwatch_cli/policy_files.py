"""Policies in files: what each file means, and what is wrong in it, by file, line and field. No file stops another."""

import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virtwatch_api.channel import KIND as CHANNEL
from virtwatch_api.channel import Channel, parse_channel
from virtwatch_api.compile import compile_policy
from virtwatch_api.names import printable, shown
from virtwatch_api.policy import Policy, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import GROUP, parse_policy
from virtwatch_api.problem import Problem
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.documents import MAX_BYTES, Document, UnreadableError, read_documents

STDIN = Path("-")
_SUFFIXES = (".yaml", ".yml", ".json")
_MACHINE_WRITTEN = ("NodeMonitor", "ThresholdSet", "Explanation")


@dataclass(frozen=True, slots=True)
class Finding:
    """Name one thing that is wrong in a file: the line (0 when it is the whole file), the field and the reason."""

    file: Path
    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        file = printable(str(self.file))
        where = f"{file}:{self.line}" if self.line else file
        return f"{where}: {self.field}: {self.reason}" if self.field else f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """Hold what one file gave: compiled policies, channels, what is wrong, and what other kinds it holds."""

    path: Path
    thresholds: tuple[ThresholdSet, ...] = ()
    findings: tuple[Finding, ...] = ()
    others: tuple[str, ...] = ()  # a sentence for each document that is left out
    channels: tuple[Channel, ...] = ()


Item = ThresholdSet | Channel | Finding | str


def list_policy_files(paths: Iterable[Path]) -> list[Path]:
    """Name the files: those given, and the YAML and JSON files of given folders, not of folders within them.

    Of a folder, only what is a file, or a link to one, is read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        try:
            inside = [item for item in sorted(path.iterdir()) if item.suffix in _SUFFIXES and _is_file(item)]
        except OSError:  # a file, or what reading it will say
            inside = [path]
        found.update(dict.fromkeys(inside))
    return list(found)


def _is_file(path: Path) -> bool:
    """Return whether reading a path of a folder ends: nobody may ever write to a FIFO."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # what is wrong with it, reading it will say


def read_policy_files(files: Iterable[Path]) -> list[PolicyFile]:
    """Read files; a policy that stands twice counts where it stands first."""
    read: list[PolicyFile] = []
    seen: dict[PolicyKey, Path] = {}
    for file in files:
        one = read_policy_file(file)
        kept: list[ThresholdSet] = []
        findings = list(one.findings)
        here: set[PolicyKey] = set()
        for thresholds in one.thresholds:
            first = seen.setdefault(thresholds.policy, file)
            if first is file and thresholds.policy not in here:
                kept.append(thresholds)
                here.add(thresholds.policy)
            else:
                reason = f"{thresholds.policy.kind} {thresholds.policy} stands in {first} already, which counts"
                findings.append(Finding(file, 0, "metadata.name", f"{reason}; rename one of them"))
        read.append(PolicyFile(file, tuple(kept), tuple(findings), one.others, one.channels))
    return read


def read_policy_file(path: Path) -> PolicyFile:
    """Read every document of one file; "-" is the standard input."""
    text = _text(path)
    if isinstance(text, Finding):
        return PolicyFile(path, findings=(text,))
    items = list(_items(path, text))
    findings = sorted((item for item in items if isinstance(item, Finding)), key=lambda finding: finding.line)
    return PolicyFile(
        path,
        thresholds=tuple(item for item in items if isinstance(item, ThresholdSet)),
        findings=tuple(findings),
        others=tuple(item for item in items if isinstance(item, str)),
        channels=tuple(item for item in items if isinstance(item, Channel)),
    )


def _text(path: Path) -> str | Finding:
    try:
        if path == STDIN and sys.stdin is None:
            return Finding(path, 0, "", "standard input is closed")
        if path == STDIN:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return Finding(path, 0, "", f"cannot be read: {error.strerror}")
    if len(content) > MAX_BYTES:
        return Finding(path, 0, "", f"is larger than {MAX_BYTES // 2**20} MiB; split it into several files")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Finding(path, 0, "", "is not text in UTF-8")


def _items(path: Path, text: str) -> Iterator[Item]:
    try:
        for document in read_documents(text):
            for item in document.items():
                yield from _document(path, item)
    except UnreadableError as error:
        yield Finding(path, error.line, "", str(error))


def _document(path: Path, document: Document) -> Iterator[Item]:
    if (other := _other_kind(document.value)) is not None:
        yield f"{printable(str(path))}:{document.line('')}: {other}"
        return
    read = _read(document.value)
    if not isinstance(read, tuple) and not document.problems:
        yield read
    # What follows from them only is not said.
    written = [f"{problem.path}." for problem in document.problems]
    meant = () if not isinstance(read, tuple) else (item for item in read if not _follows(item, written))
    for problem in (*document.problems, *meant):
        field = document.prefix + printable(problem.path)
        yield Finding(path, document.line(problem.path), field, problem.sentence)


def _follows(problem: Problem, written: Iterable[str]) -> bool:
    return any(path.startswith(f"{problem.path}.") for path in written)


def _read(document: Any) -> ThresholdSet | Channel | tuple[Problem, ...]:
    """Return what a document means, or all problems that it has."""
    if isinstance(document, dict) and document.get("kind") == CHANNEL:
        return parse_channel(document)
    parsed = parse_policy(document)
    return compile_policy(parsed) if isinstance(parsed, Policy) else parsed


def _other_kind(document: Any) -> str | None:
    """Say what a document is that belongs beside policies and is none; None when it should be one of ours."""
    if not isinstance(document, dict):
        return None
    kind, version = document.get("kind"), document.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return None
    # A misspelt kind or group must not leave a policy out.
    ours = version.partition("/")[0] == GROUP
    if kind in (*PolicyKind, *((CHANNEL,) if ours else ())) or (ours and kind not in _MACHINE_WRITTEN):
        return None
    return f"a {shown(kind)} of {shown(version)} is no policy; left out"
