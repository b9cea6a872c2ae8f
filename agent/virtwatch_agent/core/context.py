"""What is true around the VMs: thresholds in force, labels of the node, memory for windows, what cannot be seen."""

import logging
from collections.abc import Mapping, Sequence

from virtwatch_agent.core.coverage import Coverage
from virtwatch_agent.journal.store import Restored
from virtwatch_agent.judge.rulebook import Rulebook
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.unavailable import summed
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import ConnectionState, Rejected, TargetEvent, ThresholdsChanged, Unwatched
from virtwatch_api.nodemonitor import Replaced, Unavailable
from virtwatch_api.policy import PolicyKey
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.budget import WindowBudget

_LOG = logging.getLogger(__name__)
# What this node says of how it sees a VM, and what says that it is over.
_ENDS = {"vm.telemetry_stuck": "vm.telemetry_recovered", "libvirt.lost": "libvirt.restored"}


class Context:
    """Know what stands around the VMs: thresholds in force, the node's labels, and what cannot be seen now."""

    def __init__(self, windows: WindowBudget) -> None:
        self.known = False
        self.windows = windows
        self.rulebook = Rulebook()
        self.coverage = Coverage()
        self.policies: frozenset[PolicyKey] = frozenset()  # that exist, readable or not
        self.rejected: Sequence[Rejected] = ()
        self.foreign: Sequence[str] = ()
        self.read_up_to = 0
        self.replaced: Mapping[PolicyKey, tuple[Replaced, ...]] = {}
        self.unavailable: Sequence[tuple[PolicyKey, Unavailable]] = ()
        self.blind_spots: dict[str, str] = {}  # a sentence each, by UUID, connection, or both: what does not change
        self._annotation_problems: dict[str, tuple[str, ...]] = {}
        self._doubted: set[tuple[str, str]] = set()  # UUID, and what was said of it before a restart

    @property
    def thresholds(self) -> Sequence[ThresholdSet]:
        """Return what is in force."""
        return self.rulebook.thresholds

    @property
    def node_labels(self) -> Mapping[str, str]:
        """Return the node's labels, by which policies choose nodes."""
        return self.rulebook.node_labels

    @node_labels.setter
    def node_labels(self, labels: Mapping[str, str]) -> None:
        self.rulebook.relabel(labels)

    def look_for_missing(self, targets: Sequence[Target], *, clock: float) -> bool:
        """Find which rules give way to others, and which cannot be judged; return whether that changed.

        A report must not count this again each time. `clock` is monotonic seconds.
        """
        before = self.replaced, self.unavailable
        for target in targets:
            target.look_for_missing(clock=clock)
        self.replaced = self.rulebook.replaced()
        self.unavailable = summed((target.subject, target.missing) for target in targets if target.missing)
        return before != (self.replaced, self.unavailable)

    def restore(self, restored: Restored) -> None:
        """Take back the node's labels, and which VMs could not be seen before a restart."""
        self.node_labels = restored.node_labels
        said = ((item.key.target.id, item.evidence.subject) for item in restored.alerts)
        self._doubted = {(uuid, lost) for uuid, lost in said if lost in _ENDS}

    def found(self, machine: VirtualMachine, lost: str) -> str | None:
        """Return, once, the event type that ends `lost`, which was said of a VM before a restart."""
        key = (machine.domain.uuid, lost)
        if key not in self._doubted:
            return None
        self._doubted.discard(key)
        return _ENDS[lost]

    def thresholds_changed(self, changed: ThresholdsChanged) -> list[ThresholdSet]:
        """Take all thresholds in force; a rejected one leaves its predecessor in force. Return those that are new."""
        before = {item.policy: item for item in self.thresholds}
        thresholds = list(changed.thresholds)
        readable = {item.policy for item in thresholds}
        kept = {item.policy for item in changed.rejected} - readable
        thresholds.extend(before[policy] for policy in before if policy in kept)
        for rejected in changed.rejected:
            if rejected not in self.rejected:
                _LOG.error(
                    "the thresholds of %s cannot be read, what was in force stays: %s",
                    rejected.policy,
                    rejected.message,
                )
        for message in changed.foreign:
            if message not in self.foreign:
                _LOG.error("%s", message)
        self.foreign, self.read_up_to = changed.foreign, changed.read_up_to
        self.rejected, self.known = changed.rejected, True
        existing = [item.policy for item in thresholds] + [item.policy for item in changed.rejected]
        self.policies = frozenset(existing)
        self.rulebook.change(tuple(thresholds))
        return [item for item in thresholds if item.policy not in before or before[item.policy].hash != item.hash]

    def received(self, machine: VirtualMachine, event: TargetEvent) -> None:
        """Note what an event says about blind spots."""
        self._doubted.discard((machine.domain.uuid, event.type))
        if event.type == "vm.telemetry_stuck":
            reason = event.attributes.get("reason", "its monitor does not answer")
            self.blind_spots[machine.domain.uuid] = f"{machine.subject.described}: {reason}"
        elif event.type == "vm.telemetry_recovered":
            self.blind_spots.pop(machine.domain.uuid, None)

    def connected(self, state: ConnectionState) -> str | None:
        """Note a connection's state; return the event type that a change of it is."""
        was_lost = self.lost(state.connection)
        if state.problem and not state.closed:
            self.blind_spots[state.connection] = f"connection {state.connection}: {state.problem}"
            return None if was_lost else "libvirt.lost"
        self.blind_spots.pop(state.connection, None)
        return "libvirt.restored" if was_lost and not state.closed else None

    def unwatched(self, one: Unwatched) -> None:
        """Note that a VM of a connection cannot be watched, or can again; all else of the connection is."""
        key = f"{one.connection}/{one.uuid}"
        if one.problem:
            self.blind_spots[key] = one.problem
        else:
            self.blind_spots.pop(key, None)

    def lost(self, connection: str) -> bool:
        """Return whether a connection cannot be seen now."""
        return connection in self.blind_spots

    def forget(self, machine: VirtualMachine) -> None:
        """Drop what was noted about a VM that is gone."""
        self.blind_spots.pop(machine.domain.uuid, None)
        self._annotation_problems.pop(machine.domain.uuid, None)

    def annotations(self, target: Target, problems: tuple[str, ...]) -> None:
        """Say, once each, which annotations of a target could not be followed."""
        if problems != self._annotation_problems.get(target.ref.id, ()):
            for problem in problems:
                _LOG.warning("%s: %s", target.subject.described, problem)
        self._annotation_problems[target.ref.id] = problems
