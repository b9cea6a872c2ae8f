"""One VM on this node: its life, and with it that of its alerts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from virtwatch_agent.judge.migration import Migration
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_agent.observations import Domain, DomainState, KubernetesIdentity, TargetEvent
from virtwatch_api.alert import Action, AlertKey, Change, Reason
from virtwatch_api.nodemonitor import Evidence, Pool
from virtwatch_api.policy import CountBy, Enforcement, PolicyKey
from virtwatch_api.resolution import EffectiveRule, Resolution
from virtwatch_api.targets import Subject, TargetIdentity
from virtwatch_rules.alerts import LEARNED
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.pattern.groups import counts, joins

# Seconds after a VM migrated in, in which its alerts come after it: until they are there nothing is judged again.
_ARRIVAL_S = 15.0
_ENDS_PAUSE = frozenset({"vm.resumed", "vm.started", "vm.stopped"})
_MAX_UNJUDGED = 32


class VirtualMachine(Target):
    """Judge one VM."""

    def __init__(self, domain: Domain, node: str, budget: WindowBudget | None = None) -> None:
        super().__init__(domain.target, budget or WindowBudget())
        self.domain = domain
        self.identity: KubernetesIdentity | None = None
        self.paused_by = ""  # the type of the event that was judged and paused it
        self.migration = Migration()
        self.start_inferred = ""  # the incarnation whose start nobody has heard yet
        self._node = node
        self._subject_of: tuple[Domain, KubernetesIdentity | None, Subject] | None = None
        self._unjudged: list[TargetEvent] = []
        self._on_arrival: list[Verdict] = []

    @property
    def seen(self) -> bool:
        """Return whether the VM was ever here; of one that was not, only alerts have come."""
        return bool(self.domain.incarnation)

    @property
    def known(self) -> bool:
        """Return whether policies can be chosen: the VM was seen, and the API says of a KubeVirt VM what it is."""
        return self.seen and (self.domain.pod_uid is None or self.identity is not None)

    @property
    def runs(self) -> bool:
        """Return whether it is there and not paused: a guest that stands still reports nothing."""
        return self.present and self.domain.state is DomainState.RUNNING

    @property
    def migrates(self) -> bool:
        """Return whether it is there and the API says that it migrates away from this node now."""
        return self.present and self.identity is not None and bool(self.identity.migrating)

    @property
    def selector_identity(self) -> TargetIdentity:
        """Return what policies select by."""
        if self.identity is None:
            return TargetIdentity(self.domain.name)
        found = self.identity
        return TargetIdentity(found.name, found.namespace, found.labels, found.annotations)

    @property
    def subject(self) -> Subject:
        """Return how alerts name the VM."""
        of = self._subject_of
        if of is None or of[0] is not self.domain or of[1] is not self.identity:
            subject = _subject(self.domain, self.identity, self._node)
            of = self._subject_of = self.domain, self.identity, subject
        return of[2]

    def knows(self, event: TargetEvent) -> bool:
        """Return whether an event was judged before: a pause before a restart, a start when its listing came first."""
        if event.inferred:
            return event.type == self.paused_by
        if event.type != "vm.started":
            return False
        inferred, self.start_inferred = self.start_inferred, ""
        return inferred == self.domain.incarnation

    @property
    def unjudged(self) -> Sequence[TargetEvent]:
        """Return the events that wait until the rules are known."""
        return tuple(self._unjudged)

    def adopt(self, record: AlertRecord) -> None:
        """Take an alert that came along with the VM from another node; it waits as one from before a restart does."""
        learned = record.memory.get(LEARNED)
        if learned is None:
            self.restore(record)
        elif isinstance(learned, Mapping):
            self.teach(record.key.policy, record.key.rule, learned)

    def other_than(self, subject: Subject) -> bool:
        """Return whether an alert is about another VM: older versions of KubeVirt gave namesakes one domain UUID."""
        mine = self.subject.uid
        return bool(mine and subject.uid and mine != subject.uid)

    def instance_before(self, subject: Subject) -> bool:
        """Return whether this is an earlier instance of an alert's VM: gone, and its name is another VMI's now."""
        mine = self.subject
        named_alike = (mine.namespace, mine.name) == (subject.namespace, subject.name)
        return named_alike and not self.present and self.other_than(subject)

    def apply(self, resolution: Resolution, policies: Collection[PolicyKey], *, now: float) -> Iterator[Verdict]:
        """Put rules in force; alerts whose rule still stands keep their state, the others end."""
        arrived, self._on_arrival = self._on_arrival, []
        yield from arrived
        yield from super().apply(resolution, policies, now=now)
        unjudged, self._unjudged = self._unjudged, []
        for event in unjudged:
            self._note_pause(event)

    def event(self, event: TargetEvent) -> Iterator[Verdict]:
        """Judge an event; one that came before the rules are known waits for them."""
        # libvirt starts the domain when the migration begins, and resumes it when the guest, and so its alerts, come.
        if event.type in ("vm.started", "vm.resumed") and event.attributes.get("reason") == "migrated":
            self.evaluator.hold(event.at + _ARRIVAL_S)
        if self.resolved:
            self._note_pause(event)
        else:
            self._unjudged = [*self._unjudged, event][-_MAX_UNJUDGED:]
        yield from super().event(event)

    def counted(self, event: TargetEvent, pools: Sequence[Pool]) -> Iterator[Verdict]:
        """Report an event to the operator for each rule that counts it over nodes; `pools` are those of its disks."""
        for effective in self.rules.values():
            by = joins(effective)
            if by is CountBy.NAMESPACE and self.subject.namespace and counts(effective, event):
                yield self._counted(event, effective)
            elif by is CountBy.STORAGE_POOL and counts(effective, event):
                yield from (self._counted(event, effective, pool) for pool in pools)

    def _counted(self, event: TargetEvent, effective: EffectiveRule, pool: Pool | None = None) -> Verdict:
        return Verdict(
            AlertKey(effective.thresholds.policy, effective.rule.name, self.ref),
            Change(Action.COUNTED, Reason.EVENT, None, None, event.at, event.at),
            Evidence(event.type),
            enforced=effective.thresholds.enforcement is Enforcement.ENFORCE,
            effective=effective,
            cause=event,
            pool=pool,
        )

    def unidentify(self) -> None:
        """Forget which VM of the API this is, and its rules: until that is known again, events wait and alerts stay."""
        self.identity = None
        self.evaluator.unresolve()

    def appear(self, domain: Domain, *, at: float) -> None:
        """Note that the domain is there; if it was not, silence counts from `at` on, seconds since 1970."""
        self._on_arrival += self._verdicts(self.evaluator.appear(at=at))
        if domain.state is not DomainState.PAUSED or domain.incarnation != self.domain.incarnation:
            self.paused_by = ""
        self.domain = domain

    def vanish(self, *, now: float) -> Iterator[Verdict]:
        """End what is about a running domain; alerts on events stay until their own end."""
        self._end()
        yield from self._verdicts(self.evaluator.vanish(at=now, seen=self.seen))

    def lose_sight(self) -> None:
        """Let the alerts stand: the VM is not here any more, and nobody knows yet where it is."""
        self.evaluator.lose_sight()

    def leave(self, to: str, *, now: float) -> Iterator[Verdict]:
        """Let the alerts go with the VM, which has migrated to the node `to`."""
        self._end()
        yield from self._verdicts(self.evaluator.leave(at=now), to=to)

    def _end(self) -> None:
        self.paused_by = ""
        self.domain = replace(self.domain, state=DomainState.STOPPED)

    def _note_pause(self, event: TargetEvent) -> None:
        if event.attributes.get("action") == "pause":
            self.paused_by = self.paused_by or event.type  # the first is what a listing shows
        elif event.type in _ENDS_PAUSE:
            self.paused_by = ""


def _subject(domain: Domain, found: KubernetesIdentity | None, node: str) -> Subject:
    return Subject(
        label=domain.name,
        target=domain.target,
        node=node,
        namespace=found.namespace if found else None,
        name=found.name if found else None,
        uid=found.vmi_uid if found else None,
    )
