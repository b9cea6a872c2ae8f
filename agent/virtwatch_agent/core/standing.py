import logging
from collections.abc import Mapping, Sequence

from virtwatch_agent.judge.machine import Machine
from virtwatch_agent.observations import ConnectionState, DomainEvent, Rejected, ThresholdsChanged, Unwatched
from virtwatch_api.thresholdset import ThresholdSet

_LOG = logging.getLogger(__name__)


class Standing:
    """Know what stands around the VMs: thresholds in force, the node's labels, and what cannot be seen now."""

    def __init__(self) -> None:
        self.known = False
        self.thresholds: Sequence[ThresholdSet] = ()
        self.rejected: Sequence[Rejected] = ()
        self.node_labels: Mapping[str, str] = {}
        self.blind_spots: dict[str, str] = {}  # a sentence each, by UUID, connection, or both: what does not change
        self._annotation_problems: dict[str, tuple[str, ...]] = {}

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
        self.thresholds, self.rejected, self.known = tuple(thresholds), changed.rejected, True
        return [item for item in thresholds if item.policy not in before or before[item.policy].hash != item.hash]

    def heard(self, machine: Machine, event: DomainEvent) -> None:
        """Note what an event says about blind spots."""
        if event.type == "vm.telemetry_stuck":
            reason = event.attributes.get("reason", "its monitor does not answer")
            self.blind_spots[machine.domain.uuid] = f"VM {machine.subject}: {reason}"
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
        """Tell whether a connection cannot be seen now."""
        return connection in self.blind_spots

    def forget(self, machine: Machine) -> None:
        """Drop what was noted about a VM that is gone."""
        self.blind_spots.pop(machine.domain.uuid, None)
        self._annotation_problems.pop(machine.domain.uuid, None)

    def annotations(self, machine: Machine, problems: tuple[str, ...]) -> None:
        """Say, once each, which annotations of a VM could not be followed."""
        if problems != self._annotation_problems.get(machine.domain.uuid, ()):
            for problem in problems:
                _LOG.warning("VM %s: %s", machine.subject, problem)
        self._annotation_problems[machine.domain.uuid] = problems
