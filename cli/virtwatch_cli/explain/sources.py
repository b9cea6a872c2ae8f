"""Where an explanation comes from: a look of a few seconds at a target of this host, or a recording."""

import queue
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.guest.agent import guest_agents
from virtwatch_agent.collect.libvirt.collector import LibvirtCollector
from virtwatch_agent.collect.sources import all_sources
from virtwatch_agent.observations import Observation
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.names import printable
from virtwatch_api.targets import TARGET_KINDS
from virtwatch_cli.backtest.driver import read_thresholds
from virtwatch_cli.backtest.recordings import BacktestError, cut_off, read_recordings
from virtwatch_cli.explain.look import Answer, Look
from virtwatch_cli.watch.connections import choose
from virtwatch_rules.recording import Reader
from virtwatch_rules.replay import Replay

_FIND_S = 10.0  # for so long a target is looked for


class ExplainError(Exception):
    """Say why nothing can be explained."""


def recorded(kind: TargetKind, name: str, policies: Sequence[Path], samples: Sequence[Path]) -> Answer:
    """Explain a target as of the end of a recording.

    Raises:
        ExplainError: it is not in there, or something cannot be read.
    """
    try:
        thresholds = read_thresholds(policies, enforced=False)
        replay, reader = Replay(thresholds), Reader()
        for _ in replay.run(read_recordings(samples, reader)):
            pass
    except BacktestError as error:
        raise ExplainError(str(error)) from error
    noun = TARGET_KINDS[kind].noun
    found = next((item for item in replay.targets if item.kind is kind and item.name == name), None)
    if found is None:
        there = ", ".join(sorted(printable(item.name) for item in replay.targets if item.kind is kind)) or "none"
        raise ExplainError(f'the recording has no {noun} "{printable(name)}"; it has {there}')
    explanation = replay.explain(found)
    came = reader.signals.get(found, set())
    asked = {wanted.signal for rule in explanation.rules for wanted in rule.wants}
    missing = dict.fromkeys(asked - came, "the recording has no value of it")
    notes = ["as of the end of the recording", *map(cut_off, reader.cut_off)]
    if not replay.has_labels and any(item.target.selector is not None for item in thresholds):
        notes.append("it has no labels, so policies with a selector select nothing of it")
    return Answer(f"{noun} {name}", "recorded", explanation, "; ".join(notes), missing=missing)


def live(
    kind: TargetKind, name: str, policies: Sequence[Path], uris: Sequence[str], *, seconds: float, guest_agent: bool
) -> Answer:
    """Look at a target of this host for some seconds, then explain it; `guest_agent` lets its guest be asked.

    Raises:
        ExplainError: it is not there, or a policy cannot be read.
    """
    try:
        thresholds = read_thresholds(policies, enforced=False)
    except BacktestError as error:
        raise ExplainError(str(error)) from error
    thresholds = [replace(item, namespaces=None) for item in thresholds]  # as `virtwatch watch` has it
    look = Look(kind, name, thresholds)
    virtual_machines = LibvirtCollector(choose(uris).settings, time)
    addresses = virtual_machines.addresses
    guests = guest_agents(addresses, time, asked=guest_agent)
    collector = all_sources(
        virtual_machines, virtual_machines, time, CostMeter(time), addresses=addresses, guests=guests
    )
    received: queue.SimpleQueue[Observation] = queue.SimpleQueue()

    def deliver(*observations: Observation) -> None:
        for observation in observations:
            received.put(observation)

    collector.start(deliver)
    try:
        if kind is TargetKind.NODE:
            look.find_node(socket.gethostname().lower(), at=time.time())
        end = time.monotonic() + _FIND_S
        planned = False
        while (rest := end - time.monotonic()) > 0:
            if look.target is not None and not planned:
                planned = True
                collector.plan(look.target, look.plan())
                end = time.monotonic() + seconds
                continue
            try:
                look.take(received.get(timeout=min(rest, 0.5)))
            except queue.Empty:
                continue
    finally:
        collector.stop()
    if look.target is None:
        there = ", ".join(sorted(look.others)) or "none"
        noun = TARGET_KINDS[kind].noun
        raise ExplainError(f'no {noun} "{name}" was found within {_FIND_S:g} s; those here: {there}')
    return look.answer(seconds)
