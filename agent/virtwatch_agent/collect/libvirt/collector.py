"""The collector: one thread on which everything that is known changes.

libvirt's events, the calls that return, the sockets that come and go and the core's plans are posted to it, so
nothing here needs a lock.
"""

import logging
import os
import sched
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.libvirt.call_pool import CallPool
from virtwatch_agent.collect.libvirt.connection import Keepalive
from virtwatch_agent.collect.libvirt.domains import Domains
from virtwatch_agent.collect.libvirt.endpoint import Runtime
from virtwatch_agent.collect.libvirt.event_loop import run_event_loop
from virtwatch_agent.collect.libvirt.sampler import Sampler
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.launchers import Launchers
from virtwatch_agent.inventory.macvtaps import Macvtaps
from virtwatch_agent.inventory.oom import OomKills
from virtwatch_agent.inventory.processes import ProcessTable
from virtwatch_agent.inventory.sockets import Places, SocketWatch
from virtwatch_agent.observations import Observation
from virtwatch_agent.seams import Clock, Collector, Deliver
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef

_LOG = logging.getLogger(__name__)
_STOP_THREAD = 1.0  # seconds of the 5 s that stop() has
_STOP_CALLS = 1.5
_STOP_OPENINGS = 0.5
# Seconds; a call that a thread took up a moment ago may be due to be given up before anything else is due.
_LONGEST_SLEEP = 1.0
_LONGEST_REST = 30.0  # while no call is under way


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """Say where domains are looked for, and how long libvirt may take.

    With `launchers_only` a pod's libvirt is opened once `launchers` has named the pod.
    `proc` and `sys` are the host's /proc and /sys. `call_deadline` is in seconds; a monitor call that takes longer is
    stuck. A libvirt that answers no keepalive is given up after about `keepalive.interval * (keepalive.count + 1)`
    seconds.
    """

    uris: tuple[str, ...] = ()
    pods_dir: Path | None = None
    launchers_only: bool = False
    host_socket: Path | None = None
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    call_deadline: float = 3.0
    keepalive: Keepalive = field(default_factory=Keepalive)
    threads: int = 16  # calls at once; more gained nothing with 100 sockets
    openings: int = 32  # connections that are opened at once: of many that hang each costs a thread and its deadline


class LibvirtCollector(Collector):
    """Collect from every libvirt that the settings lead to."""

    def __init__(self, settings: CollectSettings, clock: Clock, cost: CostMeter | None = None) -> None:
        """`cost` takes what collecting costs."""
        self._uris = frozenset(map(LibvirtAddress.of_uri, settings.uris))
        host = () if settings.host_socket is None else (LibvirtAddress.of_host(settings.host_socket),)
        self.addresses = (*host, *map(LibvirtAddress.of_uri, settings.uris))  # but those of pods, which come and go
        self._clock = clock
        self._deliver: Deliver | None = None
        self._stopping = False
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._timers = sched.scheduler(clock.monotonic, time.sleep)
        self._pool = CallPool(self._tasks.put, clock, deadline=settings.call_deadline, size=settings.threads)
        self._openings = CallPool(self._tasks.put, clock, deadline=settings.call_deadline, size=settings.openings)
        runtime = Runtime(
            pool=self._pool,
            openings=self._openings,
            post=self._tasks.put,
            timers=self._timers,
            clock=clock,
            deliver=self._say,
            processes=ProcessTable(settings.proc, settings.sys / "fs" / "cgroup"),
            keepalive=settings.keepalive,
            macvtaps=Macvtaps(settings.proc, settings.sys),
            oom_kills=OomKills(settings.proc),
        )
        self._domains = Domains(runtime, self._forget)
        self._cost = cost or CostMeter(clock)
        self._sampler = Sampler(runtime, self._domains, patience=settings.call_deadline, cost=self._cost)
        self._cost.watch(
            calls=lambda: self._pool.calls + self._openings.calls,
            open_calls=lambda: self._pool.running + self._openings.running,
            stuck=self.stuck,
        )
        self._launchers = Launchers(required=settings.launchers_only)
        self._sockets = SocketWatch(Places(settings.pods_dir, settings.host_socket), self._found)
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once. `deliver` is called on one thread."""
        # libvirt would start a daemon of its own where it finds none.
        os.environ["LIBVIRT_AUTOSTART"] = "0"
        run_event_loop()
        self._deliver = deliver
        self._thread.start()
        self._sockets.start()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) each source is asked for a VM; a source that is absent is not asked."""
        self._tasks.put(lambda: self._sampler.plan(target.id, intervals))

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Say which sources are asked at a random instant of so many seconds."""
        self._tasks.put(lambda: self._sampler.scatter(target.id, within))

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Ask a source of a VM once more, at an instant."""
        self._tasks.put(lambda: self._sampler.look_again(target.id, source, at))

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at a VM between its looks; one whose QEMU runs elsewhere cannot be glanced at."""
        self._tasks.put(lambda: self._sampler.glance(target.id, bounds))

    def allocated(self) -> tuple[int, float]:
        """Return the vCPUs and the bytes of memory of the running domains of this host; from any thread."""
        devices = [attached.devices for _, attached in self._domains.all() if attached.endpoint.local]
        return sum(item.vcpus for item in devices), sum(item.memory for item in devices)

    def connections(self) -> tuple[int, int]:
        """Return how many libvirt daemons are known, and how many of them cannot be reached; from any thread."""
        return self._domains.connections.counts

    def stuck(self) -> int:
        """Return how many VMs' monitors do not answer; from any thread."""
        return self._sampler.stuck

    def stop(self) -> None:
        """End within 5 s, abandoning calls that hang; nothing is delivered afterwards."""
        if self._deliver is None or self._stopping:
            return
        self._stopping = True
        self._tasks.put(lambda: None)
        self._sockets.stop(_STOP_THREAD)
        self._thread.join(_STOP_THREAD)
        self._openings.close(_STOP_OPENINGS)
        self._pool.close(_STOP_CALLS)

    def _say(self, *observations: Observation) -> None:
        if self._deliver is not None and not self._stopping:
            self._deliver(*observations)

    def _forget(self, uuid: str) -> None:
        self._sampler.forget(uuid)

    def launchers(self, pods: frozenset[str]) -> None:
        """Say which pods are VMs' launchers by what the API says (UIDs); no other pod's libvirt is opened."""
        self._tasks.put(lambda: self._open(self._launchers.known(pods)))

    def _found(self, addresses: frozenset[LibvirtAddress]) -> None:
        self._tasks.put(lambda: self._open(self._launchers.found(addresses)))

    def _open(self, addresses: frozenset[LibvirtAddress] | None) -> None:
        if addresses is not None:
            self._domains.connections.update(addresses | self._uris)

    def _run(self) -> None:
        while not self._stopping:
            self._guarded(self._next_task())
            self._guarded(self._tick)
        self._guarded(self._domains.close)

    def _next_task(self) -> Callable[[], None]:
        due = (self._sampler.next_due(), self._pool.next_deadline(), self._openings.next_deadline(), self._next_timer())
        now = self._clock.monotonic()
        longest = _LONGEST_REST if self._pool.resting and self._openings.resting else _LONGEST_SLEEP
        sleep = min((at - now for at in due if at is not None), default=longest)
        try:
            return self._tasks.get(timeout=min(longest, max(0.0, sleep)))
        except Empty:
            return lambda: None

    def _next_timer(self) -> float | None:
        return self._timers.queue[0].time if self._timers.queue else None

    def _tick(self) -> None:
        self._pool.expire()
        self._openings.expire()
        self._timers.run(blocking=False)
        began = self._clock.monotonic()
        if self._sampler.sample():
            self._cost.looked(self._clock.monotonic() - began)

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception:  # noqa: BLE001 - the loop's edge
            _LOG.exception("Collecting failed and will be tried again; please report this as a defect.")
