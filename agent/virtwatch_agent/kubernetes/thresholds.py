"""What the API server tells an agent: thresholds, the VMs of its node, and what the operator has acknowledged."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from virtwatch_agent.kubernetes.claims import StorageClasses
from virtwatch_agent.kubernetes.documents import NodeReader, ThresholdReader, claims_of, read_identities
from virtwatch_agent.kubernetes.memory import ThresholdMemory
from virtwatch_agent.observations import IdentitiesChanged, KubernetesIdentity, Observation, ThresholdsChanged
from virtwatch_agent.seams import Deliver
from virtwatch_kube import paths
from virtwatch_kube.client import Json, KubeClient
from virtwatch_kube.errors import KubeError, NotFound
from virtwatch_kube.watch import Watch
from virtwatch_process.outages import Outages

logger = logging.getLogger(__name__)

VMIS = "virtualmachineinstances"
NODE_LABEL = "kubevirt.io/nodeName"  # KubeVirt's own, on each VMI that was handed to a node
SETTLE_S = 0.05  # a burst of changes becomes one delivery
# Times what a write took, until the next: an edit is written at once, a storm of edits costs a tenth; but none waits
# longer than this many seconds to be in force.
SAVE_PAUSE, SAVE_PAUSE_AT_MOST_S = 10, 1.0
SAVE_RETRY_S = 5.0  # after a write that failed
STOP_DEADLINE_S = 1.0


class KubernetesThresholds:
    """Watch ThresholdSets, this node's VMIs and its NodeMonitor; deliver each again, whole, when its meaning changed.

    Until the API server answers, what it said last is in force, from the state folder. `on_new_node_monitor` is called
    when the NodeMonitor is there but holds no status yet.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        node: str,
        state_dir: Path,
        operator_namespace: str,
        outages: Outages | None = None,
        on_new_node_monitor: Callable[[], None] = lambda: None,
    ) -> None:
        self._node = node
        self._client = client
        self._memory = ThresholdMemory(state_dir)
        self._reader = ThresholdReader(operator_namespace=operator_namespace)
        self._node_reader = NodeReader()
        self._on_new_node_monitor = on_new_node_monitor
        self._deliver: Deliver = lambda *_: None
        self._delivered: dict[type[Observation], Observation] = {}
        self._thresholds = Watch(
            paths.virtwatch("thresholdsets"),
            client=client,
            on_change=self._changed,
            on_synced=self._changed,
            name="ThresholdSets",
            outages=outages,
        )
        self._vmis = Watch(
            paths.resource(paths.KUBEVIRT, VMIS),
            client=client,
            labels=f"{NODE_LABEL}={node}",
            on_change=self._vmi_changed,
            on_synced=self._changed,
            name="VirtualMachineInstances",
            outages=outages,
            required=False,  # without KubeVirt there are none
        )
        self._node_monitor = Watch(
            paths.virtwatch("nodemonitors"),
            client=client,
            fields=f"metadata.name={node}",
            on_change=self._node_monitor_changed,
            name=f"NodeMonitor {node}",
            outages=outages,
        )
        self._passing: dict[str, Json] = {}  # VMIs by uid, as a launcher here ran them last since the last look
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._classes = StorageClasses(client, self._wake.set)
        self._stopping = threading.Event()
        self._unsaved = False
        self._save_after = float("-inf")  # monotonic seconds
        self._thread = threading.Thread(target=self._run, name="thresholds", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Deliver what was known last, then begin to watch; return at once."""
        self._deliver = deliver
        remembered = self._memory.load()
        if remembered is not None:
            self._tell(self._reader.read(remembered))
        self._thread.start()
        self._classes.start()
        for watch in (self._thresholds, self._vmis, self._node_monitor):
            watch.start()

    def stop(self) -> None:
        """End within 5 s; what is not saved yet is saved."""
        self._stopping.set()
        self._wake.set()
        for watch in (self._thresholds, self._vmis, self._node_monitor):
            watch.stop(STOP_DEADLINE_S)
        self._classes.stop(STOP_DEADLINE_S)
        self._thread.join(STOP_DEADLINE_S)

    def vmi_of(self, pod_uid: str) -> tuple[str, str] | None:
        """Return the namespace and name of the VMI that a launcher's pod runs here, as the API said last."""
        delivered = self._delivered.get(IdentitiesChanged)
        found = delivered.identities if isinstance(delivered, IdentitiesChanged) else ()
        return next(((item.namespace, item.name) for item in found if pod_uid in item.pod_uids), None)

    def attachments(self) -> frozenset[tuple[str, str]]:
        """Return the NetworkAttachmentDefinitions (namespace and name) that VMs of this node hang on."""
        delivered = self._delivered.get(IdentitiesChanged)
        found = delivered.identities if isinstance(delivered, IdentitiesChanged) else ()
        return frozenset(one for item in found if item.pod_uids for one in item.attachments)

    def _changed(self, *_: Json | None) -> None:
        self._wake.set()

    def _vmi_changed(self, _: Json | None, new: Json | None) -> None:
        if new is not None and self._node in ((new.get("status") or {}).get("activePods") or {}).values():
            with self._lock:
                self._passing[new["metadata"]["uid"]] = new
        self._wake.set()

    def _node_monitor_changed(self, _: Json | None, new: Json | None) -> None:
        self._wake.set()
        if new is not None and not new.get("status"):
            self._on_new_node_monitor()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(max(0.0, self._save_after - time.monotonic()) if self._unsaved else None)
            self._stopping.wait(SETTLE_S)
            self._wake.clear()
            try:
                self._look()
            except Exception:
                # The loop's edge: an agent that no longer hears of policies would judge by old ones for ever.
                logger.exception("What the API server said could not be taken; going on with what was known")
                self._unsaved = False
        if self._unsaved:
            self._memory.save(self._thresholds.objects())

    def _look(self) -> None:
        if self._thresholds.synced:
            documents = self._thresholds.objects()
            thresholds = self._reader.read(documents)
            self._unsaved |= self._delivered.get(ThresholdsChanged) != thresholds
            # Before it is judged by: an agent that is killed then begins with what it said to be in force, not with
            # older thresholds, by which it would end alerts and miss events. A disk that takes nothing stops nothing.
            if self._unsaved and time.monotonic() >= self._save_after:
                self._save(documents)
            if not self._unsaved or self._memory.failed:
                self._tell(thresholds)
        if self._vmis.synced:
            identities = read_identities(self._vmis.objects(), node=self._node, classes=self._classes.known)
            self._classes.want(claims_of(identities))
            if passed := self._passed(identities):
                self._tell(passed)
            if moved := tuple(self._moved(identities)):  # a watch by label does not show what took a VMI out of it
                self._tell(IdentitiesChanged((*identities.identities, *moved)))
            self._tell(identities)
        for document in self._node_monitor.objects():
            self._tell(self._node_reader.read(document))

    def _passed(self, now: IdentitiesChanged) -> IdentitiesChanged | None:
        """Return what is here with the VMIs that came and went since the last look; None where none did."""
        with self._lock:
            passing, self._passing = self._passing, {}
        here = {item.vmi_uid for item in now.identities if item.pod_uids}
        gone = [vmi for uid, vmi in passing.items() if uid not in here]
        if not gone:
            return None
        there = {vmi["metadata"]["uid"] for vmi in gone}
        passed = read_identities(gone, node=self._node, classes=self._classes.known).identities
        return IdentitiesChanged((*(item for item in now.identities if item.vmi_uid not in there), *passed))

    def _moved(self, now: IdentitiesChanged) -> Iterator[KubernetesIdentity]:
        """Ask, once, for VMIs that are this node's no more and did not say where they migrate; yield those that did."""
        before, here = self._delivered.get(IdentitiesChanged), {item.vmi_uid for item in now.identities}
        for item in before.identities if isinstance(before, IdentitiesChanged) else ():
            if item.vmi_uid in here or item.migration_target or item.leaving == "deleted":
                continue
            try:
                vmi = self._client.get(paths.resource(paths.KUBEVIRT, VMIS, namespace=item.namespace, name=item.name))
            except NotFound:
                continue
            except KubeError:
                return
            (found,) = read_identities([vmi], node=self._node).identities
            if found.migration_target and found.vmi_uid == item.vmi_uid:
                yield replace(item, migration_target=found.migration_target)

    def _save(self, documents: Sequence[Json]) -> None:
        begun = time.monotonic()
        self._unsaved = not self._memory.save(documents)
        ended = time.monotonic()
        pause = min(SAVE_PAUSE * (ended - begun), SAVE_PAUSE_AT_MOST_S)
        self._save_after = ended + (SAVE_RETRY_S if self._unsaved else pause)

    def _tell(self, observation: Observation) -> None:
        """Deliver what differs from what was delivered last."""
        if self._delivered.get(type(observation)) != observation:
            self._delivered[type(observation)] = observation
            self._deliver(observation)
