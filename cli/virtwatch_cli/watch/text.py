"""Lines for a person."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TextIO

from virtwatch_agent.observations import Domain
from virtwatch_api.alert import Action, Reason
from virtwatch_api.bounds import scale
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.duration import format_duration
from virtwatch_api.nodemonitor import FiringAlert, Transition
from virtwatch_api.policy import EventRule, Rule, Severity, ThresholdRule
from virtwatch_api.targets import TARGET_KINDS
from virtwatch_cli.policy_files import Finding
from virtwatch_cli.table import format_table
from virtwatch_cli.watch.terminal import Screen
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


class TextScreen(Screen):
    """Write lines for a person: what happens to standard output, what is wrong to standard error."""

    def __init__(self, out: TextIO, env: Mapping[str, str]) -> None:
        self._out = out
        self._coloured = out.isatty() and not env.get("NO_COLOR")

    def overview(self, watched: Watched) -> None:
        """Show policies with their rules, and VMs with the rules in force for them."""
        rules = [
            (str(item.policy), rule.name, *_describe(rule), item.enforcement.value)
            for item in watched.thresholds
            for rule in item.rules
        ]
        machines = [(item.name, item.domain.state.value, _rules(item)) for item in watched.machines()]
        where = ", ".join(watched.connections)
        self._line(f"Watching {_count(machines, 'VM')} on {watched.node} through {where}. Ctrl-C ends it.\n")
        self._line(format_table(("POLICY", "RULE", "JUDGES", "FIRES", "ENFORCEMENT"), rules) + "\n")
        if machines:
            self._line(format_table(("VM", "STATE", "RULES"), machines) + "\n")

    def appeared(self, watched: Watched, domain: Domain, *, at: float) -> None:
        """Show a VM's state."""
        machine = watched.machine(domain)
        self._line(f"{_time(at)}  {'VM':8}  {machine.name}  {domain.state.value}; rules: {_rules(machine)}")

    def vanished(self, watched: Watched, domain: Domain, *, at: float, reason: str) -> None:
        """Show that a VM is gone."""
        self._line(f"{_time(at)}  {'VM':8}  {watched.machine(domain).name}  gone: {reason}")

    def firing(self, alerts: Sequence[FiringAlert], *, total: int) -> None:
        """Show alerts that fire already, with the day since when."""
        rows = [
            (
                item.severity.value,
                str(item.subject),
                item.alert.rule,
                datetime.fromtimestamp(item.since).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                f"{item.evidence.sentence}  [{item.alert.policy}]",
            )
            for item in alerts
        ]
        self._line(format_table(("FIRES ALREADY", "VM", "RULE", "SINCE", "WHY"), rows) + "\n")
        if total > len(alerts):
            self._line(f"{total} alerts fire in all.\n")

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
        policy = transition.alert.policy
        self._line(f"{_time(transition.at)}  {label}  {transition.subject}  {transition.alert.rule}: {why}  [{policy}]")

    def problem(self, problem: Finding | str) -> None:
        """Show what is wrong."""
        print(problem, file=sys.stderr, flush=True)

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def _describe(rule: Rule) -> tuple[str, str]:
    match rule.body:
        case ThresholdRule(signal=signal, aggregate=aggregate, timing=timing) as body:
            levels = [
                f"{name} {level.bound} {scale(signal, aggregate.function).format(level.value)}"
                for name, level in (("Warning", body.warning), ("Critical", body.critical))
                if level is not None
            ]
            over = f"{aggregate.function.value}({signal}, {format_duration(aggregate.window)})"
            held = f" for {format_duration(timing.for_)}" if timing.for_ else ""
            return (over if aggregate.window else signal), ", ".join(levels) + held
        case EventRule(severity, event):
            where = ", ".join(f"{key}={value}" for key, value in event.where)
            return (f"{event.type} {{{where}}}" if where else event.type), severity.value
        case _:
            return "", ""


def _ended(transition: Transition) -> str:
    kind = transition.subject.target.kind
    if transition.reason is Reason.DOMAIN_STOPPED and kind is not TargetKind.VIRTUAL_MACHINE:
        return f"the {TARGET_KINDS[kind].gone}"
    return _ENDED.get(transition.reason, transition.reason.value)


def _rules(machine: WatchedMachine) -> str:
    return ", ".join(item.rule.name for item in machine.rules) or "none"


def _count(items: list[tuple[str, str, str]], noun: str) -> str:
    return f"{len(items) or 'no'} {noun}{'' if len(items) == 1 else 's'}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
