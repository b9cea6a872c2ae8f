"""Looks for some seconds at all that a libvirt shows, and prints the value of every signal, or why it has none."""

import json
import logging
import queue
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.guest.agent import guest_agents
from virtwatch_agent.collect.libvirt.collector import LibvirtCollector
from virtwatch_agent.collect.sources import all_sources
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Appeared, ConnectionState, ObjectsListed, Observation, Sample
from virtwatch_agent.seams import Collector
from virtwatch_api.catalogue.signals import SIGNAL, SIGNALS
from virtwatch_api.targets import TARGET_KINDS, TargetRef, node_ref
from virtwatch_cli.table import format_table
from virtwatch_cli.watch.connections import choose

_EVERY_S = 1.0
_FIND_S = 5.0  # until something must be seen


@dataclass(slots=True)
class _Seen:
    """Hold what was seen of one target."""

    name: str
    deriver: Deriver
    values: dict[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """Hold one signal of one target now; without a value, `unavailable` says why."""

    target: TargetRef
    name: str
    signal: str
    device: str
    value: float | None
    unavailable: str = ""


class _Look:
    """Plan every source of every target that comes, and keep the newest values."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._seen: dict[TargetRef, _Seen] = {}
        self.problems: dict[str, str] = {}
        self.connected = False

    def meet(self, target: TargetRef, name: str, sources: Collector) -> None:
        """Ask everything of a target that is new."""
        wanted = [SIGNAL[signal] for signal in self._names if SIGNAL[signal].target is target.kind]
        wanted = [signal for signal in wanted if signal.formula is not None]
        if not wanted or target in self._seen:
            return
        deriver = Deriver()
        deriver.want([signal.name for signal in wanted])
        self._seen[target] = _Seen(name, deriver)
        asked = {source for signal in wanted for source in signal.sources}
        sources.plan(target, dict.fromkeys(asked, _EVERY_S))

    def take(self, observation: Observation, sources: Collector) -> None:
        """Take what was heard."""
        match observation:
            case Appeared(domain):
                self.meet(domain.target, domain.name, sources)
            case ObjectsListed(objects=objects):
                for item in objects:
                    self.meet(item.target, item.name, sources)
            case ConnectionState(connection, _, problem):
                self.connected |= not problem
                self.problems[connection] = problem
            case Sample() if (seen := self._seen.get(observation.target)) is not None:
                points = seen.deriver.derive(observation)
                seen.values |= {(name, device): value for name, device, value in points if value is not None}

    def figures(self) -> Iterator[Figure]:
        """Yield what is known now, by target and in the catalogue's order."""
        order = {name: number for number, name in enumerate(self._names)}
        for target, seen in sorted(self._seen.items(), key=lambda item: (item[0].kind, item[1].name)):
            reported = {name for name, _ in seen.values}
            for name, device in sorted(seen.values, key=lambda key: (order[key[0]], key[1])):
                yield Figure(target, seen.name, name, device, seen.values[name, device])
            for name in self._names:
                signal = SIGNAL[name]
                if name not in reported and signal.target is target.kind and signal.formula is not None:
                    yield Figure(target, seen.name, name, "", None, seen.deriver.absence(name))


def show(*, uris: Sequence[str], name: str | None, seconds: float, as_json: bool, guest_agent: bool) -> int:
    """Print every signal's value now, or that of one; 1 when no libvirt can be reached."""
    names = [name] if name is not None else [signal.name for signal in SIGNALS]
    look = _look(uris, names, seconds, guest_agent=guest_agent)
    for problem in filter(None, look.problems.values()):
        print(f"error: {problem}", file=sys.stderr)
    figures = list(look.figures())
    if as_json:
        print(json.dumps([_document(figure) for figure in figures], indent=2))
    elif figures:
        rows = [(_described(item), item.signal, item.device, _value(item)) for item in figures]
        print(format_table(("TARGET", "SIGNAL", "DEVICE", "NOW"), rows))
    return 0 if look.connected else 1


def _look(uris: Sequence[str], names: Sequence[str], seconds: float, *, guest_agent: bool) -> _Look:
    logging.getLogger("virtwatch_agent").addHandler(logging.NullHandler())  # what is wrong is shown at the end
    cost = CostMeter(time)
    libvirt = LibvirtCollector(choose(uris).settings, time, cost)
    guests = guest_agents(libvirt.addresses, time, asked=guest_agent)
    sources = all_sources(libvirt, libvirt, time, cost, addresses=libvirt.addresses, guests=guests)
    received: queue.SimpleQueue[Observation] = queue.SimpleQueue()

    def deliver(*observations: Observation) -> None:
        for observation in observations:
            received.put(observation)

    look = _Look(names)
    sources.start(deliver)
    try:
        node = socket.gethostname().lower()
        look.meet(node_ref(node), node, sources)
        end = time.monotonic() + _FIND_S
        while (rest := end - time.monotonic()) > 0:
            try:
                observation = received.get(timeout=rest)
            except queue.Empty:
                break
            was = look.connected, bool(look.problems)
            look.take(observation, sources)
            if was != (look.connected, bool(look.problems)):
                end = time.monotonic() + (seconds if look.connected else 0.5)
    finally:
        sources.stop()
    return look


def _described(figure: Figure) -> str:
    return f"{TARGET_KINDS[figure.target.kind].noun} {figure.name}"


def _value(figure: Figure) -> str:
    if figure.value is None:
        return f"unavailable: {figure.unavailable}"
    return SIGNAL[figure.signal].format(figure.value)


def _document(figure: Figure) -> dict[str, object]:
    return {
        "target": {"kind": figure.target.kind.value, "name": figure.name, "id": figure.target.id},
        "signal": figure.signal,
        "device": figure.device,
        "value": figure.value,
        "unit": SIGNAL[figure.signal].unit,
        "unavailable": figure.unavailable,
    }
