"""What an agent reports of its node and what the operator acknowledges: the bus between both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_api.targets import Subject

MAX_TRANSITIONS = 32  # in status at a time; the rest waits in the agent's journal
MAX_FIRING = 16  # worst first; counts tell what was cut
MAX_APPLIED = 256
MAX_UNAVAILABLE = 8  # of one policy; the condition Judged counts them all
MAX_REPLACED = 8  # rules of one policy
MAX_HANDOVERS = 256  # that wait for one agent; what else goes there ends, rather than hold up its node's other alerts


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold what was judged: a signal with its value and the bound that it passed, or an event.

    `band` is what an anomaly's values are expected in, `count` how many events a pattern found, `culprit` who took what
    the target lacks, `function` what aggregated the value where that is not Last. Values are in the unit that follows.
    `place` is where its disk lies: "PVC data, StorageClass fast".
    """

    subject: str  # a signal's or an event's name
    value: float | None = None
    bound: float | None = None
    text: str = ""  # the sentence for people
    band: tuple[float, float] | None = None
    count: int | None = None
    culprit: str = ""
    function: str = ""
    place: str = ""

    @property
    def sentence(self) -> str:
        """Return the sentence for people, with who took what the target lacks and where its disk lies."""
        if not self.text:
            return ""
        culprit = f"; the CPU time went to {self.culprit}" if self.culprit else ""
        return self.text + culprit + (f"; the disk is on {self.place}" if self.place else "")


@dataclass(frozen=True, slots=True)
class Move:
    """Hold what an alert takes along to the node to which its VM migrates; `traceparent` is of its last worsening.

    `memory` is what its rule's engine remembers beside the state, as JSON; version 0.1 knew `last_event` alone.
    """

    to: str
    state: AlertState
    traceparent: str = ""
    last_event: float | None = None
    memory: Mapping[str, Any] = field(default_factory=dict, hash=False)


class Pool(NamedTuple):
    """Name a storage pool on which a VM's disk lies: what identifies it on every node, and what people call it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Transition:
    """Hold one entry of the journal; (epoch, sequence) orders entries of one node, times in seconds since 1970."""

    sequence: int
    alert: AlertKey
    action: Action
    reason: Reason
    severity: Severity | None
    previous: Severity | None
    at: float
    since: float
    subject: Subject
    evidence: Evidence
    traceparent: str = ""
    move: Move | None = None  # of an alert that is handed over, and of no other
    pool: Pool | None = None  # in which an event is counted, and of nothing else


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """Hold one alert that fires now."""

    alert: AlertKey
    severity: Severity
    since: float
    subject: Subject
    evidence: Evidence
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Handover:
    """Hold an alert that came to this node with its VM; `epoch` is the other node's journal's."""

    epoch: str
    transition: Transition
    move: Move

    @property
    def id(self) -> str:
        """Return what names this handover and no other."""
        return f"{self.epoch}.{self.transition.sequence}"

    @property
    def firing(self) -> FiringAlert | None:
        """Return the alert as one that fires; None while it waits for its time."""
        item = self.transition
        if item.severity is None:
            return None
        return FiringAlert(item.alert, item.severity, item.since, item.subject, item.evidence, self.move.traceparent)


@dataclass(frozen=True, slots=True)
class Adopted:
    """Say that an agent took a handover; its own journal's transitions up to `sequence` are from before that."""

    handover: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Count alerts of a policy or a node."""

    pending: int = 0
    warning: int = 0
    critical: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.pending + other.pending, self.warning + other.warning, self.critical + other.critical)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Say that a rule cannot be judged for some targets: what is missing, for how many, and why.

    `why` is one of `catalogue.absence.reasons`; `example` names one of the targets.
    """

    rule: str
    signal: str
    targets: int
    why: str = ""
    example: str = ""


def describe_unavailable(item: Unavailable) -> str:
    """Say what cannot be judged, of whom, and why: for people."""
    others = f" and {item.targets - 1} more" if item.targets > 1 else ""
    return f"rule {item.rule} cannot be judged for {item.example}{others}: no {item.signal} ({item.why})"


@dataclass(frozen=True, slots=True)
class Replaced:
    """Say that a rule gives way to another policy's of that name, for so many targets."""

    rule: str
    by: PolicyKey
    targets: int


@dataclass(frozen=True, slots=True)
class Applied:
    """Say what an agent made of one ThresholdSet: the hash in force and its VMs, or why it was rejected.

    `mode` and `interval` (seconds) are those in force, where they differ from the policy's, and `because` says why, in
    a sentence; `warming_up` counts the rules on targets that have not enough history yet, `found` what the others have
    found in `judged_days` (of all rules on all targets, added up). `cut_series` counts the series of `cut_targets`
    that are not exported, since the policy bounds them.
    """

    policy: PolicyKey
    hash: str
    virtual_machines: int = 0
    counts: Counts = Counts()
    would_have_fired: int = 0
    rejected: str = ""
    unavailable: tuple[Unavailable, ...] = ()
    mode: str = ""
    interval: float = 0.0
    warming_up: int = 0
    found: int = 0
    judged_days: int = 0
    replaced: tuple[Replaced, ...] = ()
    targets: int = 0  # of any kind, with the VMs
    because: str = ""
    cut_series: int = 0
    cut_targets: int = 0


class ConditionType(StrEnum):
    """Name the conditions of a NodeMonitor."""

    READY = "Ready"
    COLLECTING = "Collecting"
    JOURNALING = "Journaling"
    EXPORTING = "Exporting"
    ANNOUNCED = "Announced"
    THRESHOLDS_VALID = "ThresholdsValid"
    JUDGED = "Judged"
    WINDOWS_EXACT = "WindowsExact"
    WITHIN_BUDGET = "WithinBudget"


class AgentState(StrEnum):
    """Say what the operator sees of a node's agent."""

    READY = "Ready"
    STARTING = "Starting"
    NOT_READY = "NotReady"
    MISSING = "Missing"

    @property
    def down(self) -> bool:
        """Return whether what the node said last may be old."""
        return self in (AgentState.NOT_READY, AgentState.MISSING)


@dataclass(frozen=True, slots=True)
class Condition:
    """Hold one condition; `since` (seconds since 1970) is when its status last flipped."""

    type: str
    status: bool | None
    reason: str
    message: str
    since: float
    generation: int = 0


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """Hold an agent's own cost: CPU in seconds per second of the last minutes, memory in bytes.

    `scan` is the longest look at what was due and `lateness` how late the latest sample was, both in seconds and of the
    last minute; `calls` are those to libvirt since it started, `stuck` the VMs whose monitor does not answer.

    `budget` is the CPU that it may use, 0 for any; `slowdown` by how much it lengthens intervals to keep to it.

    `reported` (seconds since 1970) is when this was said: without it a report that says nothing new would leave no
    trace on the API server, and an idle node would pass for a silent one.
    """

    version: str
    started: float
    cpu: float
    memory: float
    samples: int
    errors: int
    reported: float = 0.0
    scan: float = 0.0
    budget: float = 0.0
    slowdown: float = 1.0
    lateness: float = 0.0
    calls: int = 0
    stuck: int = 0


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Hold one agent's whole report.

    `applied` names the policies that select something on the node, and those that are rejected; the node judges by all
    other ThresholdSets up to the resourceVersion `read_up_to` too, and they select nothing there.
    """

    epoch: str
    sequence: int
    transitions: tuple[Transition, ...]
    waiting: int  # transitions in the journal beyond those listed
    firing: tuple[FiringAlert, ...]
    counts: Counts
    applied: tuple[Applied, ...]
    virtual_machines: int
    agent: AgentHealth
    conditions: tuple[Condition, ...]
    adopted: tuple[Adopted, ...] = ()  # of the handovers in spec, those that the agent has taken
    read_up_to: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Say up to where the operator has taken transitions of an epoch."""

    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class NodeMonitor:
    """Hold what the operator reads of a NodeMonitor; None where nothing was written yet."""

    node: str
    uid: str
    status: NodeStatus | None
    acknowledged: Acknowledged | None
    labels: dict[str, str]
    handovers: tuple[Handover, ...] = ()

    @property
    def firing(self) -> tuple[FiringAlert, ...]:
        """Return alerts that fire here."""
        return self.status.firing if self.status is not None else ()

    @property
    def arriving(self) -> tuple[Handover, ...]:
        """Return the handovers that were not taken yet."""
        taken = self.adopted
        return tuple(item for item in self.handovers if item.id not in taken)

    @property
    def leaving(self) -> tuple[Handover, ...]:
        """Return what is to be handed over to other nodes."""
        epoch = self.status.epoch if self.status is not None else ""
        return tuple(Handover(epoch, item, item.move) for item in self.unacknowledged if item.move is not None)

    @property
    def adopted(self) -> Mapping[str, int]:
        """Return the sequence at which each handover was taken, by the handover's id."""
        return {item.handover: item.sequence for item in (self.status.adopted if self.status is not None else ())}

    @property
    def settled(self) -> tuple[Handover, ...]:
        """Return the handovers that were taken, and before which nothing of this node waits to be reported any more."""
        taken, announced = self.adopted, self._acknowledged_sequence
        return tuple(item for item in self.handovers if taken.get(item.id, announced + 1) <= announced)

    @property
    def unacknowledged(self) -> tuple[Transition, ...]:
        """Return transitions that the operator has still to take, in order."""
        if self.status is None:
            return ()
        return tuple(item for item in self.status.transitions if item.sequence > self._acknowledged_sequence)

    @property
    def _acknowledged_sequence(self) -> int:
        announced, status = self.acknowledged, self.status
        return (
            announced.sequence
            if announced is not None and status is not None and announced.epoch == status.epoch
            else 0
        )
