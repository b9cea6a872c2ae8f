"""Ask what is due: the kernel's files at once, libvirt through the pool. All on the collector's thread."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.kernel.extras import Extras
from virtwatch_agent.collect.kernel.glances import Glances
from virtwatch_agent.collect.kernel.reader import KernelReader, ProcessGoneError, ThreadGoneError
from virtwatch_agent.collect.libvirt.call_pool import Call
from virtwatch_agent.collect.libvirt.call_queue import CallQueue
from virtwatch_agent.collect.libvirt.connection import Connection
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.domains import Attached, Domains
from virtwatch_agent.collect.libvirt.driver import Batch, read_cheaply
from virtwatch_agent.collect.libvirt.endpoint import SLICE_S, Endpoint, Runtime
from virtwatch_agent.collect.libvirt.high_water import HighWater
from virtwatch_agent.collect.libvirt.jobs import JobsSeen
from virtwatch_agent.collect.libvirt.monitor import Answer, Occupied
from virtwatch_agent.collect.libvirt.monitor_queue import MonitorQueue
from virtwatch_agent.collect.libvirt.states import States
from virtwatch_agent.collect.libvirt.stopped_processes import StoppedProcesses
from virtwatch_agent.collect.libvirt.storage_places import storage_places
from virtwatch_agent.collect.libvirt.stuck import Stuck
from virtwatch_agent.collect.libvirt.unchanged import WATCH_S, Unchanged
from virtwatch_agent.collect.libvirt.unread import Unread
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.collect.suspended import Suspended
from virtwatch_agent.observations import Domain, DomainState, Glimpse, Sample, Series
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef, vm_ref

_LOG = logging.getLogger(__name__)
_BUSY_RETRY = 1.0  # seconds after which a monitor that another client was asking is asked again
_WITHOUT_FIGURES = {Source.DIRTY_RATE: {"memory.dirty.rate": absences.NOT_MEASURED}}
_MONITORS = tuple(source for source in Source if source.asks_monitor)
_STUCK_RETRY = 5.0  # seconds between looks whether a stuck monitor is well again
_VCPU_CHECK = 60.0  # seconds between looks for plugged vCPUs, which libvirt does not report


class Sampler:
    """Turn plans into samples."""

    def __init__(
        self,
        runtime: Runtime,
        domains: Domains,
        *,
        patience: float,
        cost: CostMeter,
        slept: Callable[[], float] | None = None,
    ) -> None:
        """Call a monitor stuck that has been occupied for `patience` seconds; `cost` takes how late samples are.

        `slept` returns for how many seconds this machine has been suspended since it booted.
        """
        self._slept = slept or Suspended().seconds
        self._cost = cost
        self._runtime = runtime
        self._domains = domains
        self._schedule = Schedule()
        self._stuck = Stuck(patience)
        self._states = States()
        self._extras = Extras(runtime.processes)
        self._failing: set[str] = set()
        self._unread = Unread(runtime)
        self._high_water = HighWater()
        self._glances = Glances()
        self._unchanged = Unchanged()
        self._stopped = StoppedProcesses()
        self._asked: set[str] = set()  # VMs whose monitor is asked for something
        self._queues: dict[str, MonitorQueue] = {}  # by VM: where it was last asked for
        self._read: list[Sample] = []  # and not delivered yet
        self._late = 0.0  # by how many seconds the latest of them is
        runtime.timers.enter(_VCPU_CHECK, 0, self._check_vcpus)
        runtime.timers.enter(WATCH_S, 0, self._watch_threads)

    def plan(self, uuid: str, intervals: Mapping[Source, float]) -> None:
        """Sample a domain so often; one that is gone is not planned."""
        if (found := self._domains.find(uuid)) is not None:
            group, now = found[1].endpoint.address.name, self._runtime.clock.monotonic()
            self._states.planned(uuid, intervals, now=now)
            if any(source.asks_monitor for source in intervals):
                self._asked.add(uuid)
                self._stopped.forget(uuid)
            else:
                self._asked.discard(uuid)
            self._schedule.plan(vm_ref(uuid), group, intervals, now=now)
            if Source.BLOCK_JOBS not in intervals:
                self._domains.jobs_unasked(uuid)

    def scatter(self, uuid: str, within: Mapping[Source, float]) -> None:
        """Ask these sources of a domain at a random instant of so many seconds."""
        self._schedule.scatter(vm_ref(uuid), within)

    def look_again(self, uuid: str, source: Source, at: float) -> None:
        """Ask a source of a domain once more, at an instant."""
        self._schedule.once_more(vm_ref(uuid), source, at)

    def glance(self, uuid: str, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at a domain between its looks; one that is gone is not glanced at."""
        self._glances.plan(uuid, bounds if self._domains.find(uuid) is not None else {})

    def forget(self, uuid: str) -> None:
        """Drop what is known of a domain's QEMU, which is gone."""
        self._stuck.forget(uuid)
        self._unread.well(uuid)
        self._extras.forget(uuid)
        self._unchanged.forget(uuid)
        self._stopped.forget(uuid)
        if (queue := self._queues.pop(uuid, None)) is not None:
            queue.forget(uuid)
        if self._domains.find(uuid) is None:
            self._schedule.drop(vm_ref(uuid))
            self._states.forget(uuid)
            self._glances.forget(uuid)
            self._asked.discard(uuid)

    def next_due(self) -> float | None:
        """Return when to call `sample` next, monotonic seconds."""
        due = (self._schedule.next_due(), self._glances.next_due())
        return min((at for at in due if at is not None), default=None)

    def sample(self) -> bool:
        """Ask all that is due; return whether anything was."""
        clock = self._runtime.clock.monotonic()
        queues: set[MonitorQueue] = set()
        cheap: dict[Endpoint, list[tuple[str, Devices]]] = {}
        glanced = self._glance(clock)
        due = self._schedule.due(clock)
        for target, source in due:
            uuid = target.id
            if (found := self._domains.find(uuid)) is None:
                self._schedule.drop(target)
                continue
            domain, attached = found
            endpoint = attached.endpoint
            if source is Source.KERNEL and attached.reader is not None:
                self._read_kernel(target, domain, attached, attached.reader, clock)
                continue
            if self._read_at_once(domain, attached, source, clock) or endpoint.calls is None:
                continue
            if source is Source.KERNEL:
                cheap.setdefault(endpoint, []).append((uuid, attached.devices))
            elif source.asks_monitor:
                monitors = self._monitors(endpoint, endpoint.calls)
                paused = domain.state is DomainState.PAUSED
                at = self._runtime.clock.time()
                if self._unchanged.look(
                    uuid, source, attached.reader, attached.devices, paused=paused, at=at, clock=clock
                ):
                    monitors.check(uuid, attached.devices)
                else:
                    monitors.want(uuid, source, attached.devices)
                queues.add(monitors)
                self._queues[uuid] = monitors
        for monitors in queues:
            monitors.pump()
        for endpoint, wanted in cheap.items():
            self._read_driver(endpoint, wanted)
        self._flush()
        return glanced or bool(due)

    def _glance(self, clock: float) -> bool:
        """Let the VMs be looked at that glances find worth it; return whether any was glanced at."""
        due = list(self._glances.due(clock))
        readers = {uuid: reader for uuid in due if (reader := self._reader(uuid)) is not None}
        for uuid, reader in readers.items():
            try:
                if self._glances.glance(uuid, reader, now=clock):
                    self._schedule.once_more(vm_ref(uuid), Source.KERNEL, clock)
            except (ThreadGoneError, OSError, ValueError):
                continue  # its next look says why
        if due and not readers:
            self._glances.rest(now=clock)
        return bool(readers)

    def _reader(self, uuid: str) -> KernelReader | None:
        found = self._domains.find(uuid)
        return None if found is None else found[1].reader

    def _read_at_once(self, domain: Domain, attached: Attached, source: Source, clock: float) -> bool:
        """Read what needs no libvirt; return whether that is all."""
        if source in Extras.SOURCES:
            found = self._extras.read(domain.uuid, source, attached.reader)
        elif source is Source.STATE:
            reason = self._domains.reason(domain.uuid)
            found = Found(self._states.read(domain.uuid, domain.state, reason, now=clock))
        else:
            return False
        target, at = domain.target, self._runtime.clock.time()
        due = self._schedule.was_due(target, source)
        self._deliver(target, domain, attached, source, found, due=due, at=at, clock=clock)
        return True

    def _read_kernel(
        self, target: TargetRef, domain: Domain, attached: Attached, reader: KernelReader, clock: float
    ) -> None:
        try:
            values = reader.read(clock)
        except ProcessGoneError:
            return  # libvirt reports why within 2 s
        except ThreadGoneError:
            self._domains.look_again(attached.endpoint, domain.uuid)
            return
        except Exception as error:  # noqa: BLE001 - what nobody foresaw of one VM must not cost the others' samples
            self._unread.failed(domain, error)
            return
        self._unread.well(domain.uuid)
        due = self._schedule.was_due(target, Source.KERNEL)
        before = self._glances.before(domain.uuid, at=clock) if due == clock else None
        at = self._runtime.clock.time()
        self._deliver(
            target, domain, attached, Source.KERNEL, Found(values), due=due, at=at, clock=clock, before=before
        )
        if domain.uuid not in self._asked:
            self._look_whether_it_is_stopped(domain.uuid, reader, values, at=at, clock=clock)

    def _look_whether_it_is_stopped(
        self, uuid: str, reader: KernelReader, values: Mapping[Series, float], *, at: float, clock: float
    ) -> None:
        """Find out by the kernel whether a QEMU is stopped, where nobody asks its monitor."""
        seconds = self._stopped.look(uuid, reader, values, clock=clock)
        if seconds is None:
            events = self._stuck.free(uuid, at)
        else:
            events = self._stuck.occupied(uuid, Occupied(seconds, stopped=True), at=at, now=clock)
        for event in events:
            self._runtime.deliver(event)

    def _read_driver(self, endpoint: Endpoint, wanted: Sequence[tuple[str, Devices]]) -> None:
        if endpoint.reading or endpoint.calls is None:
            return
        endpoint.reading, connection = True, endpoint.calls.connection
        clock = self._runtime.clock
        endpoint.calls.submit(
            Call(
                run=lambda: (
                    read_cheaply(connection, wanted, until=clock.monotonic() + SLICE_S, clock=clock),
                    clock.time(),
                    clock.monotonic(),
                ),
                done=lambda read: self._driver_read(endpoint, *read),
                failed=partial(self._driver_failed, endpoint),
                overdue=partial(self._domains.connections.suspect, endpoint),
            )
        )

    def _driver_read(self, endpoint: Endpoint, batch: Batch, at: float, clock: float) -> None:
        endpoint.reading = False
        self._failing.discard(endpoint.address.name)
        self._domains.connections.well(endpoint)
        self._say_lacks(endpoint)
        for uuid, values in batch.readings.items():
            self._deliver_of(endpoint, uuid, Source.KERNEL, values, at=at, clock=clock)
        self._flush()
        if batch.rest:
            self._read_driver(endpoint, batch.rest)

    def _say_lacks(self, endpoint: Endpoint) -> None:
        """Say once what a driver does not offer: NodeMonitors name the rules that need it."""
        connection = endpoint.calls.connection if endpoint.calls is not None else None
        if connection is None or not connection.lacks or endpoint.said_lacks:
            return
        endpoint.said_lacks = True
        events = () if connection.has_events else ("events (VMs are listed every 15 s instead)",)
        _LOG.info(
            "libvirt at %s: its driver, %s, does not offer: %s",
            endpoint.address.name,
            connection.driver,
            ", ".join((*events, *connection.lacks)),
        )

    def _driver_failed(self, endpoint: Endpoint, error: Exception) -> None:
        endpoint.reading = False
        if endpoint.address.name not in self._failing:
            self._failing.add(endpoint.address.name)
            _LOG.warning(
                "libvirt at %s gives no CPU and network figures, they are absent: %s", endpoint.address.name, error
            )

    def _monitors(self, endpoint: Endpoint, calls: CallQueue) -> MonitorQueue:
        if endpoint.monitors is None:
            another = partial(Connection.open, endpoint.address, self._runtime.keepalive, None)
            results = _Results(self, endpoint)
            endpoint.monitors = MonitorQueue(
                calls, another=another, pool=self._runtime.pool, clock=self._runtime.clock, results=results
            )
        return endpoint.monitors

    @property
    def stuck(self) -> int:
        """Count the VMs whose monitor is known not to answer."""
        return len(self._stuck)

    def is_stuck(self, uuid: str) -> bool:
        """Return whether a VM's monitor is known not to answer."""
        return uuid in self._stuck

    def suspect(self, endpoint: Endpoint) -> None:
        """Take that a libvirt does not answer."""
        self._domains.connections.suspect(endpoint)

    def answered(self, endpoint: Endpoint, answer: Answer) -> None:
        """Take what a monitor call brought."""
        self._domains.connections.well(endpoint)
        now, at = self._runtime.clock.monotonic(), self._runtime.clock.time()
        for uuid, by in answer.occupied.items():
            self._occupied(uuid, by, at=at, now=now)
        for uuid in answer.free:
            for event in self._stuck.free(uuid, at):
                self._runtime.deliver(event)
            for held in self._unchanged.release(uuid):
                self._deliver_of(endpoint, uuid, held.source, held.values, at=held.at, clock=held.clock)
        for uuid, by_source in answer.read.items():
            for source, values in by_source.items():
                self._unchanged.answered(uuid, source, values)
                self._deliver_of(endpoint, uuid, source, values, at=answer.at, clock=answer.clock)
        self._flush()
        for uuid, seen in answer.jobs.items():
            self._take_jobs(endpoint, uuid, seen, now=now)

    def _take_jobs(self, endpoint: Endpoint, uuid: str, seen: JobsSeen, *, now: float) -> None:
        found, asked = self._domains.find(uuid), self._schedule.was_due(vm_ref(uuid), Source.BLOCK_JOBS)
        if found is not None and found[1].endpoint is endpoint and asked is not None:  # else nobody asks any more
            self._states.sampled(uuid, Source.BLOCK_JOBS, now=now)
            self._domains.jobs_seen(uuid, seen)

    def held(self, held: Mapping[str, Occupied]) -> None:
        """Take which VMs are not asked for now, for how long they have waited, and why."""
        now, at = self._runtime.clock.monotonic(), self._runtime.clock.time()
        for uuid, by in held.items():
            self._occupied(uuid, by, at=at, now=now)

    def places(self, uuid: str) -> frozenset[str]:
        """Name the storage that a VM's disks lie on."""
        if (found := self._domains.find(uuid)) is None:
            return frozenset()
        reader = found[1].reader
        return storage_places(found[1].devices, None if reader is None else reader.process.folder)

    def is_stopped(self, uuid: str) -> bool:
        """Return whether a VM's QEMU, on this host, is stopped."""
        found = self._domains.find(uuid)
        reader = None if found is None else found[1].reader
        return reader is not None and reader.stopped()

    def _occupied(self, uuid: str, by: Occupied, *, at: float, now: float) -> None:
        self._unchanged.drop(uuid)
        for event in self._stuck.occupied(uuid, by, at=at, now=now):
            self._runtime.deliver(event)
        retry = now + (_STUCK_RETRY if uuid in self._stuck else _BUSY_RETRY)
        for source in _MONITORS:
            self._schedule.hasten(vm_ref(uuid), source, retry)

    def _deliver_of(
        self, endpoint: Endpoint, uuid: str, source: Source, values: Mapping[Series, float], *, at: float, clock: float
    ) -> None:
        found = self._domains.find(uuid)
        if found is not None and found[1].endpoint is endpoint:
            if source is Source.BLOCK:
                values = self._high_water.keep(uuid, found[1].devices.volumes, values)
            said = {} if values else _WITHOUT_FIGURES.get(source, {})
            target = found[0].target
            due = self._schedule.was_due(target, source)
            self._deliver(target, *found, source, Found(values, said), due=due, at=at, clock=clock)

    def _deliver(
        self,
        target: TargetRef,
        domain: Domain,
        attached: Attached,
        source: Source,
        found: Found,
        *,
        due: float | None,
        at: float,
        clock: float,
        before: Glimpse | None = None,
    ) -> None:
        if found.values or found.unavailable:
            self._late = max(self._late, clock - due if due is not None else 0.0)
            self._states.sampled(domain.uuid, source, now=clock)
            sample = Sample(
                target,
                source,
                domain.incarnation,
                attached.started,
                at,
                clock,
                found.values,
                due,
                found.unavailable,
                slept=0.0 if attached.endpoint.local else self._slept(),
                before=before,
            )
            self._read.append(sample)

    def _flush(self) -> None:
        """Deliver what was read, all at once: else who judges is woken for each, and takes turns with who reads."""
        if self._read:
            read, self._read = self._read, []
            self._cost.sampled(self._late)
            self._late = 0.0
            self._runtime.deliver(*read)

    def _watch_threads(self) -> None:
        self._unchanged.watch(clock=self._runtime.clock.monotonic())
        self._runtime.timers.enter(WATCH_S, 0, self._watch_threads)

    def _check_vcpus(self) -> None:
        for uuid, attached in self._domains.all():
            if attached.reader is not None and attached.reader.outdated():
                self._domains.look_again(attached.endpoint, uuid)
        self._runtime.timers.enter(_VCPU_CHECK, 0, self._check_vcpus)


@dataclass(frozen=True, slots=True)
class _Results:
    """Name the endpoint for what its monitors bring."""

    sampler: Sampler
    endpoint: Endpoint

    def stuck(self, uuid: str) -> bool:
        """Return whether a VM is known to be stuck."""
        return self.sampler.is_stuck(uuid)

    def answered(self, answer: Answer) -> None:
        """Take readings and the state of monitors."""
        self.sampler.answered(self.endpoint, answer)

    def suspect(self) -> None:
        """Take that libvirt itself does not answer."""
        self.sampler.suspect(self.endpoint)

    def held(self, held: Mapping[str, Occupied]) -> None:
        """Take which VMs are not asked for now, for how long they have waited, and why."""
        self.sampler.held(held)

    def places(self, uuid: str) -> frozenset[str]:
        """Name the storage that a VM's disks lie on."""
        return self.sampler.places(uuid)

    def is_stopped(self, uuid: str) -> bool:
        """Return whether a VM's QEMU is stopped."""
        return self.sampler.is_stopped(uuid)
