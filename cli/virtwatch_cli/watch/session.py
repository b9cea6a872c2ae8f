"""Plugs files, a terminal and this host's libvirt into the agent's core, and runs it until a signal comes."""

import logging
import os
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.guest.agent import guest_agents
from virtwatch_agent.collect.kernel.threads import ProcThreads
from virtwatch_agent.collect.libvirt.collector import LibvirtCollector
from virtwatch_agent.collect.libvirt.trial import cannot_open
from virtwatch_agent.collect.sources import all_sources
from virtwatch_agent.core.core import Core
from virtwatch_agent.journal.store import Journal
from virtwatch_agent.seams import Collector
from virtwatch_agent.telemetry.agent_telemetry import AgentTelemetry
from virtwatch_api.policy import CountBy
from virtwatch_api.resolution import effective_rules
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.policy_files import Finding
from virtwatch_cli.record.recorder import Recorder
from virtwatch_cli.watch.connections import choose
from virtwatch_cli.watch.file_policies import FilePolicies
from virtwatch_cli.watch.json_lines import JsonScreen
from virtwatch_cli.watch.listening import ListeningCollector
from virtwatch_cli.watch.terminal import Screen, TerminalReporter
from virtwatch_cli.watch.text import TextScreen
from virtwatch_cli.watch.watched import Watched
from virtwatch_process.descriptors import raise_descriptor_limit
from virtwatch_process.ending import Ending
from virtwatch_rules.pattern.groups import joins
from virtwatch_telemetry.providers import set_up

_SHUTDOWN = 3.0  # seconds for the last telemetry


def watch(
    *,
    files: Sequence[Path],
    uris: Sequence[str],
    as_json: bool,
    state: Path | None,
    values_every: float = 0.0,
    recorder: Recorder | None = None,
    guest_agent: bool = False,
) -> int:
    """Watch until SIGINT or SIGTERM, then return 0; 1 when no policy is valid, or a URI or folder cannot be used.

    Current values are shown each `values_every` seconds, 0 for never. `guest_agent` lets guests be asked.

    Raises:
        OSError: nothing can be shown any more.
    """
    screen: Screen = JsonScreen(sys.stdout) if as_json else TextScreen(sys.stdout, os.environ)
    ended = Ending()
    raise_descriptor_limit()
    with ExitStack() as stack:
        node = socket.gethostname().lower()
        found = choose(uris)
        unusable = [reason for reason in (*map(cannot_open, uris), _unusable(state)) if reason]
        for reason in unusable:
            screen.problem(reason)
        if unusable:
            return 1
        watched = Watched(node, found.names)
        reporter = TerminalReporter(
            screen, watched, connections=max(1, len(set(uris))), values_every=values_every, closed=ended.set
        )
        policies = FilePolicies(files, changed=reporter.policies, wrong=reporter.problem)
        problems = policies.read()
        for problem in problems:
            screen.problem(problem)
        watched.thresholds = policies.thresholds
        if not watched.thresholds:
            mend = "correct what is wrong above, or " if problems else ""
            named = ", ".join(map(str, files))
            screen.problem(f"There is no policy to judge by in {named}: {mend}name other files.")
            return 1
        if any(isinstance(problem, Finding) for problem in problems):
            right = ", ".join(str(item.policy) for item in watched.thresholds)
            screen.problem(f"Continuing with the valid policies: {right}.")
        for sentence in (*only_in_a_cluster(watched.thresholds), found.problem):
            if sentence:
                screen.problem(sentence)
        logging.basicConfig(level=logging.WARNING, handlers=[_ProblemHandler(reporter)])
        providers = set_up("virtwatch", resource_attributes={"service.instance.id": node}, env=os.environ)
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="virtwatch-")))
        cost = CostMeter(time)
        libvirt = LibvirtCollector(found.settings, time, cost)
        received = ListeningCollector(libvirt, found=reporter.found)
        guests = guest_agents(libvirt.addresses, time, asked=guest_agent)
        collector: Collector = all_sources(received, libvirt, time, cost, addresses=libvirt.addresses, guests=guests)
        if recorder is not None:
            collector = recorder.wrap(collector, lambda: policies.thresholds)
        core = Core(
            node=node,
            collector=collector,
            thresholds=policies,
            reporter=reporter,
            telemetry=AgentTelemetry(providers, time),
            journal=Journal(folder),
            threads=ProcThreads(found.settings.proc),
            clock=time,
            new_epoch=lambda: uuid.uuid4().hex,
            cost=cost.read,
        )
        reporter.start(core.deliver)
        stack.callback(reporter.stop)
        stack.callback(providers.shutdown, _SHUTDOWN)  # before the terminal ends: what was not delivered is shown
        core.start()
        stack.callback(core.stop)
        ended.wait()
    if reporter.error is not None:
        raise reporter.error
    return 0


def only_in_a_cluster(thresholds: Sequence[ThresholdSet]) -> Iterator[str]:
    """Name the rules that no agent judges: they count events of several nodes, which the operator does."""
    for item in thresholds:
        for rule in effective_rules(item).values():
            if (by := joins(rule)) not in (None, CountBy.NODE):
                yield (
                    f"Rule {rule.rule.name} of {item.policy.kind} {item.policy} counts events by {by}, which the "
                    "operator of a cluster does: here it never fires. To try it, use virtwatch test or backtest."
                )


def _unusable(state: Path | None) -> str:
    """Say why no state can be kept where it was asked for; empty where it can."""
    if state is None:
        return ""
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        why = "it is no folder" if state.exists() and not state.is_dir() else error.strerror
        return f"--state {state} cannot be used: {why}; name a folder that can be written, or leave it out"
    return ""


class _ProblemHandler(logging.Handler):
    """Show what the agent logs as a warning or worse where problems are shown."""

    def __init__(self, reporter: TerminalReporter) -> None:
        super().__init__()
        self._reporter = reporter
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.problem(self.format(record))
