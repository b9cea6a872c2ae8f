# Ask what is due: the kernel's files at once, libvirt through the pool. All on the collector's thread.
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from virtwatch_agent.collect.devices import Devices
from virtwatch_agent.collect.domains import Attached, Domains
from virtwatch_agent.collect.driver import read_cheaply
from virtwatch_agent.collect.kernel import KernelReader, ProcessGoneError, ThreadGoneError
from virtwatch_agent.collect.lanes import Lanes
from virtwatch_agent.collect.line import Line
from virtwatch_agent.collect.link import Link
from virtwatch_agent.collect.monitor import Answer
from virtwatch_agent.collect.peer import Means, Peer
from virtwatch_agent.collect.pool import Call
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.collect.stuck import Stuck
from virtwatch_agent.observations import Domain, Sample, Series
from virtwatch_api.catalogue.readings import Source

_LOG = logging.getLogger(__name__)
_BUSY_RETRY = 1.0  # seconds after which a monitor that another client was asking is asked again
_STUCK_RETRY = 5.0  # seconds between looks whether a stuck monitor is well again
_VCPU_CHECK = 60.0  # seconds between looks for plugged vCPUs, which libvirt does not tell of


class Sampler:
    """Turn plans into samples."""

    def __init__(self, means: Means, domains: Domains, *, patience: float) -> None:
        """Call a monitor stuck that has been occupied for `patience` seconds."""
        self._means = means
        self._domains = domains
        self._schedule = Schedule()
        self._stuck = Stuck(patience)
        self._failing: set[str] = set()
        means.timers.enter(_VCPU_CHECK, 0, self._check_vcpus)

    def plan(self, uuid: str, intervals: Mapping[Source, float]) -> None:
        """Sample a domain so often; one that is gone is not planned."""
        if (found := self._domains.find(uuid)) is not None:
            group = found[1].peer.target.name
            self._schedule.plan(uuid, group, intervals, now=self._means.clock.monotonic())

    def forget(self, uuid: str) -> None:
        """Drop what is known of a domain's QEMU, which is gone."""
        self._stuck.forget(uuid)
        if self._domains.find(uuid) is None:
            self._schedule.drop(uuid)

    def next_due(self) -> float | None:
        """Return when to call `sample` next, monotonic seconds."""
        return self._schedule.next_due()

    def sample(self) -> None:
        """Ask all that is due."""
        clock = self._means.clock.monotonic()
        lanes: set[Lanes] = set()
        cheap: dict[Peer, list[tuple[str, Devices]]] = {}
        for uuid, source in self._schedule.due(clock):
            if (found := self._domains.find(uuid)) is None:
                self._schedule.drop(uuid)
                continue
            domain, attached = found
            peer = attached.peer
            if source is Source.KERNEL and attached.reader is not None:
                self._read_kernel(domain, attached, attached.reader, clock)
            elif peer.line is None:
                continue
            elif source is Source.KERNEL:
                cheap.setdefault(peer, []).append((uuid, attached.devices))
            elif source.asks_monitor:
                lane = self._lanes(peer, peer.line)
                lane.want(uuid, source, attached.devices.disks)
                lanes.add(lane)
        for lane in lanes:
            lane.pump()
        for peer, wanted in cheap.items():
            self._read_driver(peer, wanted)

    def _read_kernel(self, domain: Domain, attached: Attached, reader: KernelReader, clock: float) -> None:
        try:
            values = reader.read(clock)
        except ProcessGoneError:
            return  # libvirt tells why within 2 s
        except ThreadGoneError:
            self._domains.look_again(attached.peer, domain.uuid)
            return
        self._deliver(domain, attached, Source.KERNEL, values, at=self._means.clock.time(), clock=clock)

    def _read_driver(self, peer: Peer, wanted: list[tuple[str, Devices]]) -> None:
        if peer.reading or peer.line is None:
            return
        peer.reading, link = True, peer.line.link
        peer.line.submit(
            Call(
                run=lambda: (read_cheaply(link, wanted), self._means.clock.time(), self._means.clock.monotonic()),
                done=lambda read: self._driver_read(peer, *read),
                failed=partial(self._driver_failed, peer),
                overdue=partial(self._domains.connections.suspect, peer),
            )
        )

    def _driver_read(self, peer: Peer, read: Mapping[str, Mapping[Series, float]], at: float, clock: float) -> None:
        peer.reading = False
        self._failing.discard(peer.target.name)
        self._domains.connections.well(peer)
        for uuid, values in read.items():
            self._deliver_of(peer, uuid, Source.KERNEL, values, at=at, clock=clock)

    def _driver_failed(self, peer: Peer, error: Exception) -> None:
        peer.reading = False
        if peer.target.name not in self._failing:
            self._failing.add(peer.target.name)
            _LOG.warning("libvirt at %s gives no CPU and network figures, they are absent: %s", peer.target.name, error)

    def _lanes(self, peer: Peer, line: Line) -> Lanes:
        if peer.lanes is None:
            another = partial(Link.open, peer.target, self._means.keepalive, None)
            outcomes = _Outcomes(self, peer)
            peer.lanes = Lanes(line, another=another, pool=self._means.pool, clock=self._means.clock, outcomes=outcomes)
        return peer.lanes

    def is_stuck(self, uuid: str) -> bool:
        """Tell whether a VM's monitor is known not to answer."""
        return uuid in self._stuck

    def suspect(self, peer: Peer) -> None:
        """Take that a libvirt does not answer."""
        self._domains.connections.suspect(peer)

    def answered(self, peer: Peer, answer: Answer) -> None:
        """Take what a monitor call brought."""
        self._domains.connections.well(peer)
        now, at = self._means.clock.monotonic(), self._means.clock.time()
        for uuid, by in answer.occupied.items():
            for event in self._stuck.occupied(uuid, by, at):
                self._means.deliver(event)
            retry = now + (_STUCK_RETRY if uuid in self._stuck else _BUSY_RETRY)
            for source in (Source.BLOCK, Source.BALLOON):
                self._schedule.hasten(uuid, source, retry)
        for uuid in answer.free:
            for event in self._stuck.free(uuid, at):
                self._means.deliver(event)
        for uuid, by_source in answer.read.items():
            for source, values in by_source.items():
                self._deliver_of(peer, uuid, source, values, at=answer.at, clock=answer.clock)

    def _deliver_of(
        self, peer: Peer, uuid: str, source: Source, values: Mapping[Series, float], *, at: float, clock: float
    ) -> None:
        found = self._domains.find(uuid)
        if found is not None and found[1].peer is peer:
            self._deliver(found[0], found[1], source, values, at=at, clock=clock)

    def _deliver(
        self,
        domain: Domain,
        attached: Attached,
        source: Source,
        values: Mapping[Series, float],
        *,
        at: float,
        clock: float,
    ) -> None:
        if values:
            sample = Sample(domain.uuid, source, domain.incarnation, attached.started, at, clock, values)
            self._means.deliver(sample)

    def _check_vcpus(self) -> None:
        for uuid, attached in self._domains.all():
            if attached.reader is not None and attached.reader.outdated():
                self._domains.look_again(attached.peer, uuid)
        self._means.timers.enter(_VCPU_CHECK, 0, self._check_vcpus)


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """Name the peer for what its lanes bring."""

    sampler: Sampler
    peer: Peer

    def stuck(self, uuid: str) -> bool:
        """Tell whether a VM is known to be stuck."""
        return self.sampler.is_stuck(uuid)

    def answered(self, answer: Answer) -> None:
        """Take readings and the state of monitors."""
        self.sampler.answered(self.peer, answer)

    def suspect(self) -> None:
        """Take that libvirt itself does not answer."""
        self.sampler.suspect(self.peer)
