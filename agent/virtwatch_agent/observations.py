"""What flows into the core's one queue: everything that the outside tells it, in the order in which it came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import Acknowledged, Handover
from virtwatch_api.policy import PolicyKey
from virtwatch_api.question import Question
from virtwatch_api.resolution import EffectiveRule
from virtwatch_api.targets import Subject, TargetRef, vm_ref
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.verdict import Explained

# (reading key of the catalogue, device): device is "" where the reading has none.
Series = tuple[str, str]


class DomainState(StrEnum):
    """Name the states of a domain that matter here."""

    RUNNING = "running"
    PAUSED = "paused"
    CRASHED = "crashed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Disk:
    """Say where a disk of a VM lies: in a pool that the VM names, or at a path ("rbd:pool/image" of a Ceph cluster).

    `volume` is the name of the VMI's volume that it is on KubeVirt.
    """

    device: str
    pool: str = ""
    path: str = ""
    volume: str = ""


@dataclass(frozen=True, slots=True)
class Domain:
    """Identify one discovered VM.

    `incarnation` changes when its QEMU process does: counters restart at zero then. `pod_uid` is the launcher pod's on
    KubeVirt. `connection` names the libvirt connection that shows it, for messages. `disks` are its writable ones.
    """

    uuid: str
    name: str
    connection: str
    incarnation: str
    state: DomainState
    pod_uid: str | None = None
    disks: tuple[Disk, ...] = ()

    @property
    def target(self) -> TargetRef:
        """Return what identifies the VM."""
        return vm_ref(self.uuid)


@dataclass(frozen=True, slots=True)
class Appeared:
    """Say that a domain is there, or that its incarnation or state is new; sent again after every gap.

    `reason` is that of its state, empty when nobody said. `started` says that its vm.started comes beside this.
    """

    domain: Domain
    at: float
    reason: str = ""
    started: bool = False


@dataclass(frozen=True, slots=True)
class Vanished:
    """Say that a domain stopped or left this node; `reason` is that of vm.stopped, "lost" when nobody said."""

    uuid: str
    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class FoundStopped:
    """Say that a domain that was not seen here has stopped; only who knew it before finds news in it.

    `reason` is that of vm.stopped; `crashed` says that it means that QEMU or the guest ended by itself.
    """

    uuid: str
    connection: str
    reason: str
    crashed: bool


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Hold some counters of a target a moment before a look that they led to; `clock` is monotonic seconds."""

    clock: float
    values: Mapping[Series, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold the readings of one target from one source at one instant.

    `at` is when it was taken and `started` when its counters were 0, both in seconds since 1970; `clock` is monotonic
    seconds, for rates. `due` is when it was due, monotonic seconds; None means when it was taken. `unavailable` says,
    by key of a reading that the target cannot give, why, in a sentence.
    `slept` is for how many seconds this machine was suspended, where the counters are another machine's. The rates of
    counters in `before` are judged over that moment, not over all the time since the last sample.
    """

    target: TargetRef
    source: Source
    incarnation: str
    started: float
    at: float
    clock: float
    values: Mapping[Series, float]
    due: float | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)
    slept: float = 0.0
    before: Glimpse | None = None


@dataclass(frozen=True, slots=True)
class TargetEvent:
    """Hold one event of the catalogue; `inferred` when it was found by comparing after a gap, not heard."""

    type: str
    target: TargetRef
    at: float
    attributes: Mapping[str, str] = field(default_factory=dict)
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class MigrationsSeen:
    """Say which of a connection's domains migrate away now, found after a gap; `domains` are those asked about."""

    domains: frozenset[str]
    leaving: frozenset[str]
    at: float


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """Say whether a libvirt connection works; `problem` is a sentence that says what to do, empty when all is well."""

    connection: str
    at: float
    problem: str = ""
    closed: bool = False  # its socket is gone for good: forget it


@dataclass(frozen=True, slots=True)
class Unwatched:
    """Say that a domain cannot be watched: `problem` is a sentence that says what to do, empty when that is over."""

    uuid: str
    connection: str
    at: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LibvirtObject:
    """Identify a virtual network or a storage pool; `connection` names the libvirt that shows it, for messages.

    `place` is the folder of a pool's volumes, as in `Disk.path`; empty where paths do not tell whose a volume is.
    """

    target: TargetRef
    name: str
    connection: str
    active: bool
    place: str = ""


@dataclass(frozen=True, slots=True)
class ObjectsListed:
    """Hold all virtual networks, or all storage pools, of one connection; it replaces what it showed before."""

    kind: TargetKind
    connection: str
    at: float
    objects: tuple[LibvirtObject, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Hold a ThresholdSet that could not be read, and why, in a sentence."""

    policy: PolicyKey
    hash: str
    message: str


@dataclass(frozen=True, slots=True)
class ThresholdsChanged:
    """Hold all thresholds in force; it replaces what was known before.

    `foreign` are sentences about ThresholdSets that are nobody's; `read_up_to` is the highest resourceVersion of all.
    """

    thresholds: tuple[ThresholdSet, ...]
    rejected: tuple[Rejected, ...] = ()
    foreign: tuple[str, ...] = ()
    read_up_to: int = 0


@dataclass(frozen=True, slots=True)
class Volume:
    """Say what stands behind a volume of a KubeVirt VM: its PersistentVolumeClaim and that one's StorageClass.

    `storage_class` is empty while it is not known, and where the claim has none.
    """

    claim: str
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesIdentity:
    """Hold what the Kubernetes API says of a VM; `pod_uids` are its active launcher pods on this node.

    `migration_target` is the other node to which a live migration takes it, or took it, empty without one. `migrating`
    is the uid of one that takes it away from this node now; `migration_failed` is why the newest one did not.
    `attachments` are the namespaces and names of the NetworkAttachmentDefinitions that it hangs on.
    `leaving` is "deleted" once its VMI is to go, "evicted" once its node is to be rid of it. `volumes` are those that
    lie on a claim, by name.
    """

    namespace: str
    name: str
    vmi_uid: str
    pod_uids: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    migration_target: str = ""
    migrating: str = ""
    migration_failed: str = ""
    leaving: str = ""
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    attachments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class IdentitiesChanged:
    """Hold all VMIs of this node; it replaces what was known before."""

    identities: tuple[KubernetesIdentity, ...]


@dataclass(frozen=True, slots=True)
class Cloned:
    """Say that the VM of a namespace and name was cloned; `clone` is what the new VM is called."""

    namespace: str
    name: str
    clone: str
    at: float


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """Hold what the operator wrote on this node's NodeMonitor."""

    labels: Mapping[str, str]
    acknowledged: Acknowledged | None
    handovers: tuple[Handover, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """Hold how one rule stands for one target and device; `missing` says why it cannot be judged, where it cannot."""

    subject: Subject
    effective: EffectiveRule
    explained: Explained
    missing: str = ""


@dataclass(frozen=True, slots=True)
class StandingsAsked:
    """Ask how all rules stand now, of targets from the `first` on as many as a moment allows.

    `answer` is called on the core's thread and must not block; it gets the first target of the next part, None at the
    end.
    """

    answer: Callable[[Sequence[Standing], int | None], None]
    first: int = 0


@dataclass(frozen=True, slots=True)
class PressureRose:
    """Say that tasks of the node began to wait for a resource: cpu, memory or io; `at` is seconds since 1970."""

    resource: str
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold an explanation as of `at` (seconds since 1970): sentences for people, documents for machines."""

    at: float
    note: str
    lines: Sequence[str]
    rules: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold a question of somebody of the cluster.

    Where its target is here, `answer` is called on the core's thread and must not block.
    """

    question: Question
    answer: Callable[[Answer], None]


Observation = (
    Appeared
    | Vanished
    | FoundStopped
    | MigrationsSeen
    | Sample
    | TargetEvent
    | ConnectionState
    | Unwatched
    | ObjectsListed
    | ThresholdsChanged
    | IdentitiesChanged
    | Cloned
    | NodeChanged
    | PressureRose
    | StandingsAsked
    | Asked
)
