"""What of the policies a recording lets be judged: that a rule never fired says nothing where it could not."""

from collections import Counter
from dataclasses import dataclass, field

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import Rule
from virtwatch_api.targets import TARGET_KINDS
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.pattern.groups import RuleKey
from virtwatch_rules.recording import Reader
from virtwatch_rules.replay import Replay


@dataclass(frozen=True, slots=True)
class Gap:
    """Say why a rule could not be judged, or on which targets, or without which signals (not `whole`)."""

    whole: bool
    text: str


@dataclass(slots=True)
class _Covered:
    """Count the targets that a rule was in force for; `blind` of them gave none of its signals."""

    targets: int = 0
    blind: int = 0
    without: Counter[str] = field(default_factory=Counter)  # targets, by the signal that they did not give
    signals: set[str] = field(default_factory=set)

    def add(self, other: "_Covered") -> None:
        self.targets, self.blind = self.targets + other.targets, self.blind + other.blind
        self.without += other.without
        self.signals |= other.signals


@dataclass(slots=True)
class Coverage:
    """Add up what replays judged."""

    rules: dict[RuleKey, _Covered] = field(default_factory=dict)
    kinds: set[TargetKind] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)  # of VMs; "" of those that are in none
    labels: bool = False

    def note(self, replay: Replay, reader: Reader) -> None:
        """Take what a replay that has ended judged, of what its reader gave it."""
        self.labels = self.labels or replay.has_labels
        for target, rules in replay.signals.items():
            self.kinds.add(target.kind)
            if target.kind is TargetKind.VIRTUAL_MACHINE:
                self.namespaces.add(target.name.rpartition("/")[0])
            came = reader.signals.get(target, set())
            for key, signals in rules.items():
                blind = bool(signals) and not signals & came
                one = _Covered(1, int(blind), Counter(signals - came), set(signals))
                self.rules.setdefault(key, _Covered()).add(one)

    def add(self, other: "Coverage") -> None:
        """Take what was judged in another process."""
        self.labels = self.labels or other.labels
        self.kinds |= other.kinds
        self.namespaces |= other.namespaces
        for key, covered in other.rules.items():
            self.rules.setdefault(key, _Covered()).add(covered)

    def gap(self, thresholds: ThresholdSet, rule: Rule) -> Gap | None:
        """Say why a rule of a policy could not be judged, or not fully; None where it could."""
        covered = self.rules.get((thresholds.policy, rule.name))
        if covered is None:
            return Gap(whole=True, text=self._why_nothing(thresholds, rule))
        if covered.signals and covered.blind == covered.targets:
            return Gap(whole=True, text=f"the recording has no {' and no '.join(sorted(covered.signals))}")
        never = sorted(name for name, count in covered.without.items() if count == covered.targets)
        parts = [f"without {' and '.join(never)}, of which the recording has no value"] if never else []
        if covered.blind:
            names = " and no ".join(sorted(covered.signals))
            parts.append(f"not on {covered.blind} of {covered.targets} targets, of which the recording has no {names}")
        return Gap(whole=False, text="; ".join(parts)) if parts else None

    def _why_nothing(self, thresholds: ThresholdSet, rule: Rule) -> str:
        kind, namespaces = thresholds.target.kind, thresholds.namespaces
        if not self.kinds:
            return "the recording is empty"
        if kind not in self.kinds:
            return f"the recording has no {TARGET_KINDS[kind].noun}"
        nothing = "the policy selects nothing of the recording"
        if any(name == rule.name for _, name in self.rules):
            return f"{nothing}, or another policy's rule of this name stands above it"
        if namespaces is not None and not self.namespaces & {"", *namespaces}:
            return f"{nothing}, which has no VM of namespace {' or '.join(namespaces)}"
        if thresholds.target.selector is not None and not self.labels:
            return f'{nothing}, which has no labels: add a line with "labels" for each VM'
        if thresholds.target.node_selector is not None:
            return f"{nothing}, which does not say on which node its targets are"
        return nothing
