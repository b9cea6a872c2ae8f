"""The VMs of this node, and what must have happened to them while nobody looked."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from virtwatch_agent.inventory.gaps import UNSEEN, differences
from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.store import Restored
from virtwatch_agent.judge.migration import Under
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import Appeared, Domain, DomainState, FoundStopped, KubernetesIdentity, TargetEvent
from virtwatch_api.targets import Subject
from virtwatch_rules.budget import WindowBudget

_GRACE = 30.0  # seconds in which a domain known from before must be found again, once its connection can be seen
# A VM of the API that an alert came before: KubeVirt may name its new node, and so its launcher, minutes late.
_ARRIVES_WITHIN_S = 300.0
_NAMED_WITHIN_S = 30.0  # the API says whose VM it was that has ended already; of most that is never said
_PLACED_WITHIN_S = 30.0  # the API says to which node a VM went that has migrated already
_MAX_DEPARTED = 256  # VMs that went on to another node; of older ones an alert that comes late ends here
_MAX_NAMED = 256  # VMIs that the API names here no more; an alert that comes late waits the longer for older ones


class Inventory:
    """Know every VM by its UUID; those from before a restart wait to be found again."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.windows = WindowBudget()
        self._unseen: dict[str, DomainRecord] = {}
        self._found_by: dict[str, float] = {}  # monotonic seconds, for each that is unseen
        self._stopped: dict[str, FoundStopped] = {}  # those of which their libvirt says why they will not be found
        self._unnamed: dict[str, float] = {}  # until when each that ended is waited for to be named, monotonic seconds
        # The same for each that migrated, until the API says where to, with the stop that waits to be judged by that.
        self._unplaced: dict[str, tuple[float, TargetEvent | None]] = {}
        self._by_pod: dict[str, KubernetesIdentity] = {}
        self._named: dict[str, KubernetesIdentity] = {}  # VMIs that the API names or named here, the newest last
        self._departed: dict[tuple[str, str], str] = {}  # where each went, by its UUID and its VMI's; oldest first
        self.machines: dict[str, VirtualMachine] = {}

    def restore(self, restored: Restored, *, clock: float) -> None:
        """Take back VMs and alerts from before a restart; `clock` is monotonic seconds."""
        for record in restored.domains:
            machine = VirtualMachine(record.domain, self._node, self.windows)
            machine.identity, machine.paused_by = record.identity, record.paused_by
            machine.migration.under = Under(record.migration)
            self.machines[record.domain.uuid] = machine
            self._unseen[record.domain.uuid] = record
            self._found_by[record.domain.uuid] = clock + self._time_to_find(record)
        for alert in restored.alerts:
            if (found := self.machines.get(alert.key.target.id)) is not None:
                found.restore(alert)

    def appear(self, appeared: Appeared) -> tuple[VirtualMachine, list[TargetEvent]]:
        """Note a domain; events that must have come in a gap are inferred, once."""
        domain = appeared.domain
        machine = self.machines.get(domain.uuid)
        if machine is None:
            machine = self.machines[domain.uuid] = VirtualMachine(domain, self._node, self.windows)
            if (domain.state, appeared.reason) == (DomainState.PAUSED, "migration"):
                machine.migration.under = Under.IN
        elif domain.pod_uid != machine.domain.pod_uid:
            machine.unidentify()  # a new launcher pod may belong to a new VMI
        machine.appear(domain, at=appeared.at)
        machine.identity = self._by_pod.get(domain.pod_uid or "", machine.identity)
        self._arrived(machine)
        record = self._unseen.pop(domain.uuid, None)
        self._found_by.pop(domain.uuid, None)
        found = self._stopped.pop(domain.uuid, None)
        return machine, [] if record is None else list(differences(record.domain, found, appeared))

    def found_stopped(self, found: FoundStopped) -> None:
        """Note that a domain from before a restart, whose end was not reported then, need not be waited for."""
        record = self._unseen.get(found.uuid)
        if record is None or record.domain.connection != found.connection or record.domain.state is DomainState.STOPPED:
            return
        self._stopped[found.uuid] = found
        if record.domain.pod_uid is None:  # one in a pod may have gone on to another: the API must say so first
            self._found_by[found.uuid] = float("-inf")

    def identify(self, identities: Iterable[KubernetesIdentity], *, clock: float) -> list[VirtualMachine]:
        """Take what the Kubernetes API says of VMs; return those for which it changed. What left the API is kept."""
        by_vmi = {identity.vmi_uid: identity for identity in identities}
        self._by_pod = {pod: identity for identity in by_vmi.values() for pod in identity.pod_uids}
        self._note_named(clock=clock)
        changed = []
        for machine in self.machines.values():
            identity = self._by_pod.get(machine.domain.pod_uid or "")
            if identity is None and machine.ref.id in self._unplaced:  # its pod ends before its migration does
                identity = by_vmi.get(machine.subject.uid or "")
            if identity is not None and identity != machine.identity:
                machine.identity = identity
                self._arrived(machine)
                changed.append(machine)
        return changed

    def expect(self, subject: Subject, *, clock: float) -> VirtualMachine:
        """Return the VM of an alert from another node; one that is not here yet must be found as after a restart."""
        machine = self.machines.get(subject.target.id)
        if machine is None:
            domain = Domain(subject.target.id, subject.label, "", UNSEEN, DomainState.RUNNING, pod_uid="")
            machine = self.machines[subject.target.id] = VirtualMachine(domain, self._node, self.windows)
            if subject.namespace and subject.name:
                machine.identity = KubernetesIdentity(
                    subject.namespace,
                    subject.name,
                    subject.uid or "",
                    (),
                    labels={},
                    annotations={},
                    migration_target=self._departed.get(_vmi(subject), ""),
                )
        record = self._unseen.get(subject.target.id)
        if not machine.present and (record is None or record.domain.state is DomainState.STOPPED):
            machine.domain = replace(machine.domain, state=DomainState.RUNNING)  # it is to come, though it had ended
            self._unseen[subject.target.id] = expected = DomainRecord(machine.domain, machine.identity)
            self._found_by[subject.target.id] = clock + self._time_to_find(expected)
        return machine

    def succeed(self, earlier: VirtualMachine, subject: Subject, *, clock: float) -> None:
        """Let the VM of an alert take the place of its earlier instance, which has ended; its alerts continue."""
        uuid = earlier.ref.id
        self.forget(uuid)
        for waited in (self._unseen, self._found_by, self._stopped):
            waited.pop(uuid, None)
        machine = self.expect(subject, clock=clock)
        for record in earlier.records():
            machine.restore(record)

    def _time_to_find(self, record: DomainRecord) -> float:
        """Return how many seconds a VM has to be found: one that has yet to come has more until the API names it."""
        found = record.identity
        if record.domain.incarnation != UNSEEN or found is None or not found.vmi_uid or found.migration_target:
            return _GRACE
        return _GRACE if found.vmi_uid in self._named else _ARRIVES_WITHIN_S

    def _note_named(self, *, clock: float) -> None:
        """Note which VMIs the API names here: those that have yet to come must be found soon from now on."""
        here = {item.vmi_uid: item for item in self._by_pod.values()}
        before = [uid for uid in self._named if uid not in here]
        self._named = {uid: self._named[uid] for uid in before[-_MAX_NAMED:]} | here
        for uuid, record in self._unseen.items():
            if record.identity is not None and record.identity.vmi_uid in here:
                self._found_by[uuid] = min(self._found_by[uuid], clock + _GRACE)

    def destination(self, machine: VirtualMachine, reason: str) -> str:
        """Name the node to which a VM that is gone from here migrated; empty when it did not, or nobody knows.

        One that left while the agent was down is known by its VMI, which is another node's now.
        """
        identity = machine.identity
        if identity is None:
            return ""
        here = any(item.vmi_uid == identity.vmi_uid for item in self._by_pod.values())
        migrated = reason == "migrated" or (reason == "lost" and not here)
        return identity.migration_target if migrated else ""

    def depart(self, machine: VirtualMachine, to: str) -> None:
        """Note that a VM went on to another node, so that an alert that comes after it can follow."""
        self._departed[_vmi(machine.subject)] = to
        if len(self._departed) > _MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _arrived(self, machine: VirtualMachine) -> None:
        """Forget where a VM went that is here again: two nodes must not send an alert to each other for ever."""
        if machine.present:
            self._departed.pop(_vmi(machine.subject), None)

    def await_name(self, machine: VirtualMachine, *, clock: float) -> None:
        """Keep a VM that has ended before the API said whose it is: what it did is still to be judged.

        One that has just migrated is its new node's in the API only a moment after it runs there.
        """
        self._unnamed[machine.ref.id] = clock + _NAMED_WITHIN_S

    def unnamed(self, *, clock: float) -> list[VirtualMachine]:
        """Return, once, the VMs that were kept for a name and need not be any more."""
        gone = [uuid for uuid, end in self._unnamed.items() if clock >= end]
        for uuid in gone:
            del self._unnamed[uuid]
        return [self.machines[uuid] for uuid in gone if uuid in self.machines]

    def await_place(self, machine: VirtualMachine, *, clock: float, stop: TargetEvent | None = None) -> None:
        """Keep a VM that migrated before the API said where to: its alerts go there.

        Of one that was lost while it migrated, `stop` waits for whether it has gone on.
        """
        self._unplaced[machine.ref.id] = clock + _PLACED_WITHIN_S, stop

    def placed(self, *, clock: float) -> list[tuple[VirtualMachine, str, TargetEvent | None]]:
        """Return, once, the VMs that need not be kept any more, to which node each went ("" for none), and its stop."""
        found = []
        for uuid, (end, stop) in list(self._unplaced.items()):
            machine = self.machines[uuid]
            migrates = stop is not None and machine.identity is not None and machine.identity.migrating
            to = self.destination(machine, "lost" if migrates else "migrated")
            if to or clock >= end or (stop is not None and not migrates):
                del self._unplaced[uuid]
                found.append((machine, to, stop))
        return found

    def awaits_place(self, uuid: str) -> bool:
        """Return whether the API is still to say where a VM went, or whether it did."""
        return uuid in self._unplaced

    def place_no_more(self, uuid: str) -> TargetEvent | None:
        """Wait no more for the place of a VM; return the stop that waited for it."""
        _, stop = self._unplaced.pop(uuid)
        return stop

    def awaits(self, uuid: str) -> bool:
        """Return whether a domain may still be found again, or the API say of one that is gone whose it is or where."""
        return uuid in self._unseen or uuid in self._unnamed or uuid in self._unplaced

    @property
    def waits(self) -> bool:
        """Return whether domains are waited for, or the places to which they went."""
        return bool(self._unseen or self._unplaced)

    def missing(
        self, *, clock: float, lost: Callable[[str], bool], judging: bool = True
    ) -> Mapping[str, FoundStopped | None]:
        """Return, once, the domains from before a restart that were not found again in time, and what is known of why.

        While `lost` says that a connection cannot be seen, nobody knows whether its domains are gone. Before the
        node is `judging` none is returned: an end that cannot be judged yet must not stand on disk as told.
        """
        for uuid, record in self._unseen.items():
            if lost(record.domain.connection):
                self._found_by[uuid] = clock + _GRACE
        if not judging:
            return {}
        gone = {uuid: self._stopped.pop(uuid, None) for uuid in self._unseen if clock >= self._found_by[uuid]}
        for uuid in gone:
            record = self._unseen.pop(uuid)
            del self._found_by[uuid]
            if record.domain.state is not DomainState.STOPPED and record.domain.incarnation != UNSEEN:
                # It may be found yet in another place, where it has started again.
                self._unseen[uuid] = replace(record, domain=replace(record.domain, state=DomainState.STOPPED))
                self._found_by[uuid] = clock + _GRACE
        return gone

    def came_and_went(self, machine: VirtualMachine, *, at: float) -> bool:
        """Take that a VM was here which nobody saw: an alert came before it, the API named it here and does no more."""
        named = self._named.get(machine.subject.uid or "")
        if machine.seen or named is None or self._by_pod.get(named.pod_uids[0]) is not None:
            return False
        machine.identity = named
        machine.appear(replace(machine.domain, incarnation=f"unseen-{at}", pod_uid=named.pod_uids[0]), at=at)
        return True

    def forget(self, uuid: str) -> None:
        """Drop a VM."""
        self.machines.pop(uuid, None)
        self._unnamed.pop(uuid, None)
        self._unplaced.pop(uuid, None)


def _vmi(subject: Subject) -> tuple[str, str]:
    return subject.target.id, subject.uid or ""
