"""Watches the networks that KubeVirt's VMs hang on through a bridge of their node: NetworkAttachmentDefinitions."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from virtwatch_agent.collect.network.bridges import Bridges
from virtwatch_agent.collect.network.definitions import Attachment, Definitions
from virtwatch_agent.collect.passing import PassingCollector
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.observations import LibvirtObject, ObjectsListed, Sample
from virtwatch_agent.seams import Clock, Collector, Deliver
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.entries import Source, TargetKind
from virtwatch_api.targets import ATTACHMENT_PREFIX, TargetRef, attachment_ref

logger = logging.getLogger(__name__)

CONNECTION = "KubeVirt"
LOOK_S = 10.0  # between looks at which attachments there are, and whether their bridges are up
_UNAVAILABLE = MappingProxyType(dict.fromkeys(("leases", "lease.addresses"), absences.NO_LEASES_KNOWN))
_LONGEST_SLEEP_S = 1.0
_JOIN_S = 1.0


class AttachmentCollector(PassingCollector):
    """Watch attachments beside what reads libvirt's networks, which gets all other plans."""

    def __init__(
        self,
        networks: Collector,
        attachments: Callable[[], frozenset[Attachment]],
        definitions: Definitions,
        bridges: Bridges,
        clock: Clock,
    ) -> None:
        """`attachments` returns those that this node's VMs use."""
        super().__init__(networks)
        self._attachments = attachments
        self._definitions = definitions
        self._bridges = bridges
        self._clock = clock
        self._known: dict[Attachment, str] = {}  # those that name a bridge
        self._listed: tuple[LibvirtObject, ...] = ()
        self._look_at = float("-inf")
        self._schedule = Schedule()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._deliver: Deliver | None = None
        self._thread = threading.Thread(target=self._run, name="attachments", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        self._deliver = deliver
        self._collector.start(deliver)
        self._definitions.start(self._look_soon)
        self._thread.start()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) a network is read."""
        if not target.id.startswith(ATTACHMENT_PREFIX):
            self._collector.plan(target, intervals)
            return
        with self._lock:
            self._schedule.plan(target, CONNECTION, intervals, now=self._clock.monotonic())
        self._wake.set()

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Say which sources are read at a random instant of so many seconds."""
        if not target.id.startswith(ATTACHMENT_PREFIX):
            self._collector.scatter(target, within)
            return
        with self._lock:
            self._schedule.scatter(target, within)

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Read a network once more, at an instant."""
        if not target.id.startswith(ATTACHMENT_PREFIX):
            self._collector.look_again(target, source, at)
            return
        with self._lock:
            self._schedule.once_more(target, source, at)
        self._wake.set()

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Pass on that a network is glanced at; a bridge is not."""
        if not target.id.startswith(ATTACHMENT_PREFIX):
            self._collector.glance(target, bounds)

    def stop(self) -> None:
        """End within 5 s; a question that hangs is left behind."""
        self._stopping = True
        self._wake.set()
        self._collector.stop()
        self._definitions.stop(_JOIN_S)
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._clock.monotonic() >= self._look_at:
                    self._look()
                sleep = self._sample()
            except Exception:
                logger.exception("reading attached networks failed; please report this as a defect")
                sleep = _LONGEST_SLEEP_S
            self._wake.wait(sleep)
            self._wake.clear()

    def _look_soon(self) -> None:
        self._look_at = float("-inf")
        self._wake.set()

    def _look(self) -> None:
        """See which attachments there are, and report them when that is news."""
        self._look_at = self._clock.monotonic() + LOOK_S
        self._definitions.want(self._attachments())
        self._known = {one: bridge for one, bridge in self._definitions.known.items() if bridge}
        listed = tuple(
            LibvirtObject(_ref(one), ".".join(one), CONNECTION, self._bridges.is_up(bridge))
            for one, bridge in sorted(self._known.items())
        )
        if listed != self._listed and self._deliver is not None:
            self._listed = listed
            self._deliver(ObjectsListed(TargetKind.NETWORK, CONNECTION, self._clock.time(), listed))

    def _sample(self) -> float:
        """Read what is due; return for how many seconds nothing is."""
        with self._lock:
            due = [
                (target, source, self._schedule.was_due(target, source))
                for target, source in self._schedule.due(self._clock.monotonic())
            ]
        by_ref = {_ref(one): bridge for one, bridge in self._known.items()}
        for target, source, asked_at in due:
            if (bridge := by_ref.get(target)) is None or self._deliver is None or self._stopping:
                continue
            up = self._bridges.is_up(bridge)
            values = {("network.state", ""): float(up), **(self._bridges.read(bridge) if up else {})}
            at, clock = self._clock.time(), self._clock.monotonic()
            self._deliver(Sample(target, source, bridge, 0.0, at, clock, values, asked_at, _UNAVAILABLE))
        with self._lock:
            following = self._schedule.next_due()
        sleep = _LONGEST_SLEEP_S if following is None else following - self._clock.monotonic()
        return min(_LONGEST_SLEEP_S, max(0.0, sleep))


def _ref(attachment: Attachment) -> TargetRef:
    return attachment_ref(*attachment)
