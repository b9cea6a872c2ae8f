"""Listens to a collector, and writes the values of the signals that policies judge, and events, in order of time."""

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from virtwatch_agent.collect.passing import PassingCollector
from virtwatch_agent.inventory.pools import pool_of
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import (
    Appeared,
    Domain,
    LibvirtObject,
    ObjectsListed,
    Observation,
    Sample,
    TargetEvent,
    Vanished,
)
from virtwatch_agent.seams import Collector, Deliver
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.targets import TargetRef, vm_ref
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.watch.watched import kubernetes_identity
from virtwatch_rules.recording import Recorded, RecordedEvent, RecordedPools, RecordedSample, TargetName, write_line
from virtwatch_rules.registry import engine_of

# Sources of one VM deliver on threads of their own: what one measured before may come after what another did.
_ORDERED_AFTER_S = 5.0


class Recorder:
    """Put what is received in the order of time, and write it as lines."""

    def __init__(
        self,
        write: Callable[[list[str]], None],
        *,
        begin: Callable[[], None] = lambda: None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`write` takes whole lines; its OSError ends the recording, not the watching: `failed` is told why.

        `begin` is called once, when there is something to listen to.
        """
        self._write = write
        self._begin = begin
        self._failed = failed
        self.begun = False
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, Recorded]] = []
        self._taken = 0
        self.lines = 0
        self.problem = ""

    def wrap(self, collector: Collector, thresholds: Callable[[], Sequence[ThresholdSet]]) -> Collector:
        """Listen to a collector; `thresholds` are the policies in force.

        Raises:
            OSError: nothing can be recorded.
        """
        self._begin()
        self.begun = True
        return _Recorded(collector, self, thresholds)

    def take(self, recorded: Sequence[Recorded]) -> None:
        """Take what was heard; what is older than the newest by five seconds is written."""
        with self._lock:
            for item in recorded:
                self._taken += 1
                heapq.heappush(self._waiting, (item.at, self._taken, item))
            if recorded:
                self._flush(max(item.at for item in recorded) - _ORDERED_AFTER_S)

    def close(self) -> None:
        """Write what waits."""
        with self._lock:
            self._flush(float("inf"))

    def _flush(self, until: float) -> None:
        lines = []
        while self._waiting and self._waiting[0][0] <= until:
            lines.append(write_line(heapq.heappop(self._waiting)[2]))
        if not lines or self.problem:
            return
        try:
            self._write(lines)
        except OSError as error:
            self.problem = error.strerror or str(error)
            self._failed(self.problem)
            return
        self.lines += len(lines)


class _Recorded(PassingCollector):
    """Pass a collector's observations on, and let a recorder hear them."""

    def __init__(
        self, collector: Collector, recorder: Recorder, thresholds: Callable[[], Sequence[ThresholdSet]]
    ) -> None:
        super().__init__(collector)
        self._recorder = recorder
        self._thresholds = thresholds
        self._names: dict[TargetRef, TargetName] = {}
        self._derivers: dict[TargetRef, Deriver] = {}
        self._domains: dict[TargetRef, Domain] = {}
        self._pools: dict[str, tuple[LibvirtObject, ...]] = {}  # by connection
        self._lock = threading.Lock()

    def start(self, deliver: Deliver) -> None:
        """Begin."""

        def received(*observations: Observation) -> None:
            with self._lock:
                recorded = [item for observation in observations for item in self._recorded(observation)]
            self._recorder.take(recorded)
            deliver(*observations)

        self._collector.start(received)

    def _recorded(self, observation: Observation) -> Iterator[Recorded]:
        match observation:
            case Appeared(domain, at):
                self._names[domain.target] = TargetName(_name(domain))
                self._domains[domain.target] = domain
                yield from self._pools_of([domain], at)
            case ObjectsListed(kind, connection, at, objects):
                self._names |= {item.target: TargetName(item.name, kind) for item in objects}
                if kind is not TargetKind.STORAGE_POOL:
                    return
                self._pools[connection] = objects
                # Once more with each listing: of a recording that is bounded, the oldest lines go.
                yield from self._pools_of(self._domains.values(), at)
            case Vanished(uuid):
                self._domains.pop(vm_ref(uuid), None)
                gone = [target for target in self._derivers if target.id == uuid]
                for target in gone:
                    del self._derivers[target]
            case Sample():
                yield from self._sample(observation)
            case TargetEvent():
                name = self._name(observation.target)
                if name is not None:
                    yield RecordedEvent(
                        observation.at, name, observation.type, observation.attributes, observation.inferred
                    )
            case _:
                pass

    def _pools_of(self, domains: Iterable[Domain], at: float) -> Iterator[Recorded]:
        for domain in domains:
            found = {disk.device: pool_of(disk, domain.connection, self._all_pools()) for disk in domain.disks}
            named = {device: pool.name for device, pool in found.items() if pool is not None}
            if named:
                yield RecordedPools(at, self._names[domain.target], named)

    def _all_pools(self) -> Iterator[LibvirtObject]:
        return (pool for pools in self._pools.values() for pool in pools)

    def _name(self, target: TargetRef) -> TargetName | None:
        """Return what a target is called; None of one that was not announced."""
        if target.kind is TargetKind.NODE:
            return TargetName(target.id, target.kind)
        return self._names.get(target)

    def _sample(self, sample: Sample) -> Iterator[Recorded]:
        name = self._name(sample.target)
        if name is None:
            return
        deriver = self._derivers.setdefault(sample.target, Deriver())
        deriver.want(_signals(self._thresholds()))
        # To the second: looks come a little before or after they are due, and a grid of looks is what a rule sees.
        at = float(round(sample.at))
        for point in deriver.derive(sample):
            yield RecordedSample(at, name, point.signal, point.device, point.value)


def _name(domain: Domain) -> str:
    identity = kubernetes_identity(domain)
    return f"{identity.namespace}/{identity.name}" if identity else domain.name


def _signals(thresholds: Sequence[ThresholdSet]) -> set[str]:
    found: set[str] = set()
    for item in thresholds:
        for rule in item.rules:
            engine = engine_of(rule.body)
            if engine is not None:
                wants = engine.wants(rule.body, interval=item.collection.interval)
                found |= {wanted.signal for wanted in wants.inputs}
    return found
