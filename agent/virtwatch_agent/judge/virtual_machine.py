"""One VM on this node: the rules in force for it and their alerts.

Observations and times come in, verdicts go out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from virtwatch_agent.judge.alerts import Alert, EventAlert, ThresholdAlert
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.judge.event_history import EventHistory
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.judge.rules import clears, kept, matches, merged, new_threshold_alert, renew, taken_back
from virtwatch_agent.judge.verdict import Verdict, nodes_own, on_alert, on_departure, on_record, rule_gone
from virtwatch_agent.observations import Domain, DomainState, KubernetesIdentity, Sample, TargetEvent
from virtwatch_api.alert import INACTIVE, AlertKey, Reason
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.policy import Enforcement, EventRule, MissingData, PolicyKey, ThresholdRule
from virtwatch_api.resolution import EffectiveRule, Resolution
from virtwatch_api.targets import Subject, TargetIdentity

# Seconds after a VM migrated in, in which its alerts come after it: until they are there nothing is judged anew.
_ARRIVAL = 15.0
_ENDS_PAUSE = frozenset({"vm.resumed", "vm.started", "vm.stopped"})


class VirtualMachine:
    """Judge one VM; alerts that were restored wait here until the rules for the VM are known."""

    def __init__(self, domain: Domain, node: str) -> None:
        self.domain = domain
        self.identity: KubernetesIdentity | None = None
        self.present = False
        self.resolved = False
        self.paused_by = ""  # the type of the event that was judged and paused it
        self.start_inferred = ""  # the incarnation whose start nobody has heard yet
        self.rules: Mapping[str, EffectiveRule] = {}
        self.alerts: dict[AlertKey, Alert] = {}
        self._node = node
        self._restored: dict[AlertKey, AlertRecord] = {}
        self._deriver = Deriver()
        self._by_signal: dict[str, list[EffectiveRule]] = {}
        self._history = EventHistory()
        self._arrived = float("-inf")  # seconds since 1970

    @property
    def seen(self) -> bool:
        """Tell whether the VM was ever here; of one that was not, only alerts have come."""
        return bool(self.domain.incarnation)

    @property
    def known(self) -> bool:
        """Tell whether policies can be chosen: the VM was seen, and the API says of a KubeVirt VM what it is."""
        return self.seen and (self.domain.pod_uid is None or self.identity is not None)

    @property
    def waits(self) -> bool:
        """Tell whether events wait until the rules for the VM are known."""
        return self._history.waiting

    @property
    def policies(self) -> frozenset[PolicyKey]:
        """Return the policies whose rules are in force."""
        return frozenset(effective.thresholds.policy for effective in self.rules.values())

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
        found = self.identity
        return Subject(
            label=self.domain.name,
            target=self.domain.target,
            node=self._node,
            namespace=found.namespace if found else None,
            name=found.name if found else None,
            uid=found.vmi_uid if found else None,
        )

    def knows(self, event: TargetEvent) -> bool:
        """Tell whether an event was judged before: a pause before a restart, a start when its listing came first."""
        if event.inferred:
            return event.type == self.paused_by
        if event.type != "vm.started":
            return False
        inferred, self.start_inferred = self.start_inferred, ""
        return inferred == self.domain.incarnation

    def restore(self, record: AlertRecord) -> None:
        """Take back an alert from before a restart; it waits until the rules for the VM are known."""
        self._restored[record.key] = record

    def adopt(self, record: AlertRecord) -> None:
        """Take an alert that came along with the VM from another node; it waits as one from before a restart does."""
        mine = next((item for item in self.records() if item.key == record.key), None)
        self.alerts.pop(record.key, None)
        self.restore(record if mine is None else merged(mine, record))

    def other_than(self, subject: Subject) -> bool:
        """Tell whether an alert is about another VM: older versions of KubeVirt gave namesakes one domain UUID."""
        mine = self.subject.uid
        return bool(mine and subject.uid and mine != subject.uid)

    def records(self) -> Iterator[AlertRecord]:
        """Yield what must survive a restart: every enforced alert that is pending or fires."""
        yield from self._restored.values()
        for alert in self.alerts.values():
            if alert.enforcement is Enforcement.ENFORCE and alert.state != INACTIVE:
                yield kept(alert, self.subject)

    def apply(
        self, resolution: Resolution, policies: Iterable[PolicyKey], *, clock: float, now: float
    ) -> Iterator[Verdict]:
        """Put rules in force; alerts whose rule still stands keep their state, the others end."""
        existing = frozenset(policies)
        self.rules = resolution.rules
        self.resolved = True
        self._by_signal = {}
        for effective in self.rules.values():
            if isinstance(effective.rule.body, ThresholdRule):
                self._by_signal.setdefault(effective.rule.body.signal, []).append(effective)
        self._deriver.want(self._by_signal)
        restored, self._restored = self._restored, {}
        for record in restored.values():
            alert = taken_back(record, self._effective(record.key), clock=clock)
            if alert is None:
                yield from on_record(record, rule_gone(record.key, existing), now=now)
            else:
                self.alerts[record.key] = alert
                yield from self._catch_up(alert)
        for key, alert in list(self.alerts.items()):
            standing = self._effective(key)
            if standing is not None and renew(alert, standing):
                continue
            change = alert.end(rule_gone(key, existing), now=now)
            del self.alerts[key]
            if change is not None:
                yield on_alert(alert, change, standing)
        if self.present:
            self._expect_data(clock)
        for event in self._history.waited():
            yield from self.event(event)

    def sample(self, sample: Sample) -> Iterator[Verdict]:
        """Judge a sample."""
        arriving = abs(sample.at - self._arrived) < _ARRIVAL
        for point in self._deriver.derive(sample):
            for effective in self._by_signal.get(point.signal, ()):
                alert = self._threshold_alert(effective, point.device, sample.clock)
                if arriving:
                    alert.take(point.value, clock=sample.clock)
                    continue
                change = alert.sample(point.value, clock=sample.clock, now=sample.at)
                if change is not None:
                    yield on_alert(alert, change, effective, sample)
        yield from self._unplugged(sample)

    def event(self, event: TargetEvent) -> Iterator[Verdict]:
        """Judge an event; one that came before the rules are known waits for them."""
        # libvirt starts the domain when the migration begins, and resumes it when the guest, and so its alerts, come.
        if event.type in ("vm.started", "vm.resumed") and event.attributes.get("reason") == "migrated":
            self._arrived = event.at
        if not self.resolved:
            self._history.wait(event)
            return
        self._history.judged(event)
        self._note_pause(event)
        for effective in self.rules.values():
            body = effective.rule.body
            if not isinstance(body, EventRule):
                continue
            if matches(body.event, event):
                alert = self._event_alert(effective, body, event)
                change = alert.event(event, now=event.at)
                if change is not None:
                    yield on_alert(alert, change, effective, event)
            elif clears(body, event):
                yield from self._clear(effective, event)

    def tick(self, *, clock: float, now: float) -> Iterator[Verdict]:
        """Let time pass: missing data, alerts that expire."""
        if self.present and not self.resolved:
            return
        for alert in list(self.alerts.values()):
            if isinstance(alert, EventAlert):
                change = alert.tick(now=now)
            elif self.present:
                change = alert.tick(clock=clock, now=now)
            else:
                change = None
            if change is not None:
                yield on_alert(alert, change, self._effective(alert.key))

    def clock_set(self, seconds: float) -> None:
        """Let all timers go on though the clock was set by `seconds`."""
        self._arrived += seconds
        for alert in self.alerts.values():
            alert.clock_set(seconds)
        self._restored = {key: record.clock_set(seconds) for key, record in self._restored.items()}

    def unidentify(self) -> None:
        """Forget which VM of the API this is, and its rules: until that is known again, events wait and alerts stay."""
        self.identity = None
        self.resolved = False
        self.rules = {}
        self._by_signal = {}

    def appear(self, domain: Domain, *, clock: float) -> None:
        """Note that the domain is there; `clock` (monotonic seconds) is when silence begins to count if it was not."""
        for alert in self.alerts.values():
            if isinstance(alert, EventAlert):
                alert.absent_since = None
            elif not self.present:
                alert.seen = clock
        self._restored = {key: replace(record, absent_since=None) for key, record in self._restored.items()}
        if domain.state is not DomainState.PAUSED or domain.incarnation != self.domain.incarnation:
            self.paused_by = ""
        self.domain = domain
        self.present = True

    def vanish(self, *, now: float) -> Iterator[Verdict]:
        """End what is about a running domain; alerts on events stay until their own end."""
        self.present, self.paused_by = False, ""
        self.domain = replace(self.domain, state=DomainState.STOPPED)
        unseen = {record.key for record in self.records() if nodes_own(record)}
        for key, alert in list(self.alerts.items()):
            if isinstance(alert, EventAlert) and key not in unseen:
                alert.absent_since = now
                continue
            change = alert.end(Reason.DOMAIN_STOPPED, now=now)
            del self.alerts[key]
            if change is not None:
                yield on_alert(alert, change, self._effective(key))
        for key, record in list(self._restored.items()):
            if record.last_event is not None and self.seen and key not in unseen:  # an alert on events
                self._restored[key] = replace(record, absent_since=now)
            else:
                del self._restored[key]
                yield from on_record(record, Reason.DOMAIN_STOPPED, now=now)

    def leave(self, to: str, *, now: float) -> Iterator[Verdict]:
        """Let the alerts go with the VM, which has migrated to the node `to`."""
        going = list(self.records())
        self._history.forget()
        self.present, self.paused_by, self.alerts, self._restored = False, "", {}, {}
        self.domain = replace(self.domain, state=DomainState.STOPPED)
        for record in going:
            yield from on_departure(record, to, now=now)

    def _effective(self, key: AlertKey) -> EffectiveRule | None:
        effective = self.rules.get(key.rule)
        return effective if effective is not None and effective.thresholds.policy == key.policy else None

    def _key(self, effective: EffectiveRule, device: str) -> AlertKey:
        return AlertKey(effective.thresholds.policy, effective.rule.name, self.domain.target, device)

    def _expect_data(self, clock: float) -> None:
        """Let silence count from now on where it is to fire; which devices a signal has, its samples must tell."""
        for effectives in self._by_signal.values():
            for effective in effectives:
                body = effective.rule.body
                assert isinstance(body, ThresholdRule)
                if body.timing.missing_data is MissingData.ALERT and not SIGNAL[body.signal].per_device:
                    self._threshold_alert(effective, "", clock)

    def _threshold_alert(self, effective: EffectiveRule, device: str, clock: float) -> ThresholdAlert:
        key = self._key(effective, device)
        alert = self.alerts.get(key)
        if not isinstance(alert, ThresholdAlert):
            body = effective.rule.body
            assert isinstance(body, ThresholdRule)
            alert = new_threshold_alert(key, body, effective.thresholds, clock=clock)
            self.alerts[key] = alert
        return alert

    def _unplugged(self, sample: Sample) -> Iterator[Verdict]:
        """End alerts of devices that the VM has no more, which nothing else would ever end."""
        there = {device for _, device in sample.values if device}
        for key, alert in list(self.alerts.items()) if there else ():
            if not key.device or not isinstance(alert, ThresholdAlert) or not alert.measured_by(sample.source):
                continue
            if not alert.unplugged(there, clock=sample.clock):
                continue
            change = alert.end(Reason.NO_DATA, now=sample.at)
            del self.alerts[key]
            if change is not None:
                yield on_alert(alert, change, self._effective(key), sample)

    def _event_alert(self, effective: EffectiveRule, body: EventRule, event: TargetEvent) -> EventAlert:
        key = self._key(effective, event.attributes.get("device", ""))
        if event.inferred and not key.device:
            # A gap hides the device: what fires already is what was found again.
            firing = (other for other, alert in self.alerts.items() if alert.state.firing)
            key = next((other for other in firing if self._effective(other) is effective), key)
        alert = self.alerts.get(key)
        if not isinstance(alert, EventAlert):
            alert = EventAlert(key=key, rule=body, enforcement=effective.thresholds.enforcement)
            self.alerts[key] = alert
        if self.domain.state is DomainState.STOPPED and alert.absent_since is None:
            alert.absent_since = event.at  # the event waited for its rule, and outlived its VM
        return alert

    def _note_pause(self, event: TargetEvent) -> None:
        if event.attributes.get("action") == "pause":
            self.paused_by = self.paused_by or event.type  # the first is what a listing shows
        elif event.type in _ENDS_PAUSE:
            self.paused_by = ""

    def _catch_up(self, alert: Alert) -> Iterator[Verdict]:
        """End an alert that came after its VM by what the VM has done here."""
        event = self._history.what_ends(alert) if isinstance(alert, EventAlert) else None
        if isinstance(alert, EventAlert) and event is not None:
            change = alert.clear(event, now=event.at)
            if change is not None:
                yield on_alert(alert, change, self._effective(alert.key), event)

    def _clear(self, effective: EffectiveRule, event: TargetEvent) -> Iterator[Verdict]:
        for key, alert in list(self.alerts.items()):
            if isinstance(alert, EventAlert) and self._effective(key) is effective:
                change = alert.clear(event, now=event.at)
                if change is not None:
                    yield on_alert(alert, change, effective, event)
