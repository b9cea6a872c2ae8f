"""Lines for a person, no wider than the terminal, or than 80 columns."""

import re
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TextIO

from virtwatch_agent.observations import Domain, Standing
from virtwatch_api.alert import Action, Reason
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.duration import format_duration
from virtwatch_api.nodemonitor import FiringAlert, Transition, Unavailable, describe_unavailable
from virtwatch_api.policy import Enforcement, PolicyKey, Severity
from virtwatch_api.targets import TARGET_KINDS
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.policy_files import Finding
from virtwatch_cli.table import format_table, padded, width_of
from virtwatch_cli.watch.rules import describe
from virtwatch_cli.watch.terminal import Screen
from virtwatch_cli.watch.values import worst_first
from virtwatch_cli.watch.watched import Watched, WatchedMachine

_RED, _YELLOW, _GREEN, _PLAIN = "\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
_COLOUR = {Severity.CRITICAL: _RED, Severity.WARNING: _YELLOW, None: _GREEN}
_ENDED = {
    Reason.RECOVERED: "recovered",
    Reason.EVENT_CLEARED: "cleared by an event",
    Reason.EXPIRED: "it did not happen again",
    Reason.DOMAIN_STOPPED: "the VM stopped",
    Reason.MIGRATED: "the VM moved away",
    Reason.NO_DATA: "no more data",
    Reason.POLICY_CHANGED: "the policy changed",
    Reason.POLICY_DELETED: "the policy is gone",
}
_ENFORCEMENT = {
    Enforcement.ENFORCE: "",
    Enforcement.OBSERVE: " (Observe: counts what would fire, alerts nobody)",
    Enforcement.SUSPENDED: " (Suspended: judges nothing)",
}
_FIGURE, _KEPT = re.compile(r"(\d) (?=(?:%|[mµn]?s)(?:\W|$))"), "\N{NO-BREAK SPACE}"
_COLUMNS, _LEAST_COLUMNS = 80, 40
_MOST_ROWS = 12  # VMs that are listed with a line each; more are listed by their rules
_MOST_VALUES = 20
_WIDEST = 30  # characters of a column, beyond which it gets out of line


class TextScreen(Screen):
    """Write lines for a person: what happens to standard output, what is wrong to standard error."""

    def __init__(self, out: TextIO, env: Mapping[str, str]) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._several = False  # policies, so that a rule's name may not say which
        self._coloured = self._terminal and not env.get("NO_COLOR")

    def overview(self, watched: Watched) -> None:
        """Show policies with their rules, and all VMs with the rules in force for them."""
        self._several = len(watched.thresholds) > 1
        machines = list(watched.machines())
        where = ", ".join(watched.connections)
        self._wrapped(f"Watching {_count(machines, 'VM')} on {watched.node} through {where}. Ctrl-C ends it.", 0)
        for item in watched.thresholds:
            self._policy(item)
        if machines:
            self._line("")
            self._machines(machines)
        self._line("")

    def appeared(self, watched: Watched, domain: Domain, *, at: float) -> None:
        """Show a VM's state."""
        machine = watched.machine(domain)
        self._event(f"{_time(at)}  {'VM':8}  {machine.name}  {domain.state.value}; rules: {_rules(machine)}")

    def vanished(self, watched: Watched, domain: Domain, *, at: float, reason: str) -> None:
        """Show that a VM is gone."""
        self._event(f"{_time(at)}  {'VM':8}  {watched.machine(domain).name}  gone: {reason}")

    def firing(self, alerts: Sequence[FiringAlert], *, total: int) -> None:
        """Show alerts that fire already, with the day since when."""
        self._line("Fires already:")
        for item in alerts:
            since = datetime.fromtimestamp(item.since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            why = f"{item.evidence.sentence}, since {since}"
            self._wrapped(f"  {item.severity.value:8}  {item.subject}  {item.alert.rule}: {why}", 12)
        if total > len(alerts):
            self._line(f"  {total} alerts fire in all.")
        self._line("")

    def values(self, standings: Sequence[Standing], *, at: float) -> None:
        """Show current values beside bounds: what fires first, then what is closest to its bound."""
        values = worst_first(standings)
        if not values:
            return
        rows = [
            (item.state, item.target, item.rule, item.now, item.warning, item.critical)
            for item in values[:_MOST_VALUES]
        ]
        header = ("STATE", "VM", "RULE", "NOW", "WARNING", "CRITICAL")
        self._line(f"\nValues at {_time(at)}:")
        self._line(format_table(header, rows, width=self._width))
        left = len(values) - len(rows)
        if left:
            self._line(f"and {left} more, further from their bounds; -o json has all")
        self._line("")

    def unavailable(self, policy: PolicyKey, item: Unavailable, *, over: bool) -> None:
        """Show that a rule cannot be judged for some VMs, or can again."""
        again = f"rule {item.rule} has {item.signal} again for {item.example}"
        reported = again if over else describe_unavailable(item)
        self._wrapped(f"{_time(time.time())}  {'No data':8}  {reported}{self._of(policy)}", 20)

    def transition(self, transition: Transition) -> None:
        """Show a transition as a line: time, severity, VM, rule, and why."""
        resolved = transition.action is Action.RESOLVED
        word = "Resolved" if resolved or transition.severity is None else transition.severity.value
        label = f"{_COLOUR[transition.severity]}{word:8}{_PLAIN}" if self._coloured else f"{word:8}"
        why = transition.evidence.sentence
        if resolved:
            took = format_duration(round(max(0.0, transition.at - transition.since)))
            why = f"{_ended(transition)} after {took}" + (why and f"; {why}")
        elif transition.action is not Action.FIRED and transition.previous is not None:
            why = f"{why} (was {transition.previous})"
        what = f"{transition.subject}  {transition.alert.rule}: {why}{self._of(transition.alert.policy)}"
        self._event(f"{_time(transition.at)}  {label}  {what}")

    def problem(self, problem: Finding | str) -> None:
        """Show what is wrong."""
        print(problem, file=sys.stderr, flush=True)

    @property
    def _width(self) -> int:
        return max(_LEAST_COLUMNS, shutil.get_terminal_size().columns) if self._terminal else _COLUMNS

    def _of(self, policy: PolicyKey) -> str:
        return f"  [{policy}]" if self._several else ""

    def _policy(self, thresholds: ThresholdSet) -> None:
        every = format_duration(thresholds.collection.interval)
        self._line("")
        self._wrapped(f"{thresholds.policy}, each {every}{_ENFORCEMENT[thresholds.enforcement]}", 2)
        self._rows([(rule.name, describe(rule)) for rule in thresholds.rules])

    def _machines(self, machines: Sequence[WatchedMachine]) -> None:
        if len(machines) <= _MOST_ROWS:
            rows = [(item.name, item.domain.state.value, _rules(item)) for item in machines]
            self._rows([("VM", "STATE", "RULES"), *rows], indent=0)
            return
        alike: dict[tuple[str, str], list[str]] = {}
        for item in machines:
            alike.setdefault((item.domain.state.value, _rules(item)), []).append(item.name)
        for (state, rules), names in sorted(alike.items(), key=lambda pair: (-len(pair[1]), pair[0])):
            self._wrapped(f"{_count(names, 'VM')} {state}, judged by {rules}:", 2)
            self._wrapped("  " + ", ".join(name.replace(" ", _KEPT) for name in names), 2)

    def _rows(self, rows: Sequence[Sequence[str]], *, indent: int = 2) -> None:
        """Line columns up; the last one is broken between words, under itself."""
        widths = [min(_WIDEST, max(width_of(row[column]) for row in rows)) for column in range(len(rows[0]) - 1)]
        for row in rows:
            cells = "  ".join(padded(cell, width) for cell, width in zip(row[:-1], widths, strict=True))
            self._wrapped(f"{' ' * indent}{cells}  {row[-1]}", indent + sum(widths) + 2 * len(widths))

    def _wrapped(self, text: str, indent: int) -> None:
        kept = _FIGURE.sub(f"\\1{_KEPT}", text)  # a figure and its unit stay together
        lines = textwrap.wrap(kept, self._width, subsequent_indent=" " * indent, break_on_hyphens=False)
        self._line("\n".join(lines).replace(_KEPT, " "))

    def _event(self, text: str) -> None:
        """Write what happened: a terminal breaks it between words, anything else gets a line."""
        if self._terminal:
            colours = len(text) - len(_without_colour(text))
            lines = textwrap.wrap(text, self._width + colours, subsequent_indent=" " * 20, break_on_hyphens=False)
            text = "\n".join(lines)
        self._line(text)

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def _ended(transition: Transition) -> str:
    kind = transition.subject.target.kind
    if transition.reason is Reason.DOMAIN_STOPPED and kind is not TargetKind.VIRTUAL_MACHINE:
        return f"the {TARGET_KINDS[kind].gone}"
    return _ENDED.get(transition.reason, transition.reason.value)


def _without_colour(text: str) -> str:
    for code in (_RED, _YELLOW, _GREEN, _PLAIN):
        text = text.replace(code, "")
    return text


def _rules(machine: WatchedMachine) -> str:
    return ", ".join(item.rule.name for item in machine.rules) or "none"


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items) or 'no'} {noun}{'' if len(items) == 1 else 's'}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
