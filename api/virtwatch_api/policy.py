"""What a user means by a MonitorPolicy, with every default filled in: durations in seconds, quantities as numbers."""

from dataclasses import dataclass, field
from enum import StrEnum

from virtwatch_api.catalogue.entries import Instrument
from virtwatch_api.catalogue.signals import TargetKind


class PolicyKind(StrEnum):
    """Name the two kinds that hold rules."""

    MONITOR_POLICY = "MonitorPolicy"
    CLUSTER_MONITOR_POLICY = "ClusterMonitorPolicy"


class Enforcement(StrEnum):
    """Say what a judgement leads to: alerts, a count of what would have fired, or nothing at all."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"
    SUSPENDED = "Suspended"


class Severity(StrEnum):
    """Grade an alert."""

    WARNING = "Warning"
    CRITICAL = "Critical"

    @property
    def rank(self) -> int:
        """Order severities: the worse, the higher."""
        return 2 if self is Severity.CRITICAL else 1


class Function(StrEnum):
    """Say how the samples of a window become one value."""

    LAST = "Last"
    AVG = "Avg"
    MAX = "Max"
    MIN = "Min"
    P95 = "P95"
    RATE = "Rate"
    SUM = "Sum"
    COUNT = "Count"


class MissingData(StrEnum):
    """Say what happens to an alert while its signal has no data."""

    HOLD = "Hold"
    RESOLVE = "Resolve"
    ALERT = "Alert"


class Mode(StrEnum):
    """Say how closely a VM is looked at."""

    SAMPLED = "Sampled"
    CONTINUOUS = "Continuous"
    HYBRID = "Hybrid"


class Bound(StrEnum):
    """Say on which side of a bound a value is bad."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Level:
    """Hold one bound and, on its good side or equal to it, where a firing alert recovers."""

    bound: Bound
    value: float
    recover: float

    def breached(self, value: float) -> bool:
        """Return whether a value is past the bound; the bound itself is still good."""
        return value > self.value if self.bound is Bound.ABOVE else value < self.value

    def recovered(self, value: float) -> bool:
        """Return whether a value that was past the bound is back at or past the recovery value."""
        return value <= self.recover if self.bound is Bound.ABOVE else value >= self.recover


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Say how samples become the judged value; `window` in seconds, 0 for Last."""

    function: Function = Function.LAST
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Hold a rule's timers in seconds, as Prometheus means them, and what missing data does."""

    for_: float = 0.0
    keep_firing_for: float = 0.0
    missing_data: MissingData = MissingData.HOLD


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Judge one signal against one or two levels."""

    signal: str
    aggregate: Aggregate
    warning: Level | None
    critical: Level | None
    timing: Timing


@dataclass(frozen=True, slots=True)
class EventMatch:
    """Match events by type and attributes."""

    type: str
    where: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EventRule:
    """Fire on an event; resolve on others, or `keep_firing_for` seconds after the last one where none is named."""

    severity: Severity
    event: EventMatch
    resolve_on: tuple[str, ...]
    keep_firing_for: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compare one signal with one bound."""

    signal: str
    aggregate: Aggregate
    level: Level


@dataclass(frozen=True, slots=True)
class AllOf:
    """Hold when every part holds."""

    parts: tuple["Comparison | AllOf | AnyOf", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Hold when some part holds."""

    parts: tuple["Comparison | AllOf | AnyOf", ...]


@dataclass(frozen=True, slots=True)
class ConditionRule:
    """Judge several signals together."""

    severity: Severity
    condition: AllOf | AnyOf
    timing: Timing


class CountBy(StrEnum):
    """Say whose events are counted together."""

    VIRTUAL_MACHINE = "VirtualMachine"
    NODE = "Node"
    NAMESPACE = "Namespace"
    STORAGE_POOL = "StoragePool"


@dataclass(frozen=True, slots=True)
class CountPattern:
    """Match at least so many events within `within` seconds, of all that `by` joins; `distinct` counts each VM once."""

    event: EventMatch
    at_least: int
    within: float
    by: CountBy = CountBy.VIRTUAL_MACHINE
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """Match when none of these events came in time."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SequencePattern:
    """Match steps in order within `within` seconds."""

    steps: tuple[EventMatch | Absent, ...]
    within: float


@dataclass(frozen=True, slots=True)
class PatternRule:
    """Fire on a pattern of events."""

    severity: Severity
    pattern: CountPattern | SequencePattern


@dataclass(frozen=True, slots=True)
class AnomalyRule:
    """Fire when signals leave their learned band."""

    severity: Severity
    signals: tuple[str, ...]
    sensitivity: str


RuleBody = ThresholdRule | EventRule | ConditionRule | PatternRule | AnomalyRule


@dataclass(frozen=True, slots=True)
class Rule:
    """Pair a rule's name, which is its identity, with what it judges, and with what its notifications carry."""

    name: str
    body: RuleBody
    labels: tuple[tuple[str, str], ...] = ()
    summary: str = ""  # a template, see `summary`
    runbook_url: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Hold one label requirement: In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = f"({', '.join(self.values)})" if self.values else ""
        one = self.operator == "In" and len(self.values) == 1
        return f"{self.key}={self.values[0]}" if one else f"{self.key} {self.operator}{values}"

    def matches(self, labels: dict[str, str]) -> bool:
        """Return whether labels meet the requirement, as Kubernetes means it."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Select by labels; without requirements it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Return whether every requirement is met."""
        return all(requirement.matches(labels) for requirement in self.requirements)


@dataclass(frozen=True, slots=True)
class Target:
    """Say what a policy watches; None selects everything in scope."""

    kind: TargetKind = TargetKind.VIRTUAL_MACHINE
    selector: LabelSelector | None = None
    names: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    node_selector: LabelSelector | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """Say how often to look; `interval` in seconds, `share` of the VMs between 0 and 1.

    `instruments` says of signals, sorted, how they are exported where that is not the catalogue's affair; `series` is
    how many series one target exports at most, 0 as many as the agents let.
    """

    mode: Mode = Mode.HYBRID
    interval: float = 15.0
    share: float = 1.0
    instruments: tuple[tuple[str, Instrument], ...] = ()
    series: int = 0


@dataclass(frozen=True, slots=True)
class Notify:
    """Name a channel and what it is sent; `repeat_every` in seconds."""

    channel: str
    severities: tuple[Severity, ...]
    repeat_every: float


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """Hold what a policy asks for."""

    rules: tuple[Rule, ...]
    enforcement: Enforcement = Enforcement.ENFORCE
    target: Target = field(default_factory=Target)
    collection: Collection = field(default_factory=Collection)
    notify: tuple[Notify, ...] = ()
    overridable: bool = True


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """Identify a policy; a cluster policy has no namespace."""

    kind: PolicyKind
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Policy:
    """Pair a policy's identity with its parsed spec; `created` in seconds since 1970 decides ties of inheritance."""

    key: PolicyKey
    uid: str
    generation: int
    created: float
    spec: PolicySpec
