"""The numbering of transitions, and what is not on disk or not acknowledged yet."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.store import Batch, Journal, JournalError, JournalInUseError, Restored
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_api.alert import AlertState
from virtwatch_api.nodemonitor import Acknowledged, Handover, Transition

_LOG = logging.getLogger(__name__)
_MAX_PENDING = 10_000  # transitions; about 10 MB. Beyond it the oldest go, and the node's Journaling condition says so.

_Saved = tuple[AlertState, Mapping[str, Any]]


class Ledger:
    """Number transitions, remember what is not yet on disk or not yet acknowledged, and write it in one transaction.

    While the disk fails, everything goes on in memory and is written as soon as it can be.
    """

    def __init__(self, journal: Journal, *, new_epoch: Callable[[], str]) -> None:
        self._journal = journal
        self._new_epoch = new_epoch
        self._alerts: dict[str, AlertRecord | None] = {}
        self._domains: dict[str, DomainRecord | None] = {}
        self._node_labels: Mapping[str, str] | None = None
        self._saved = 0  # sequence of the newest transition on disk
        self._saved_states: dict[str, _Saved] = {}
        self._begins = False
        self._acknowledged = 0
        self._meta_changed = False
        self.epoch = ""
        self.sequence = 0
        self.pending: deque[Transition] = deque(maxlen=_MAX_PENDING)
        self.adopted: Mapping[str, int] = {}  # handovers that were taken and are still held -> sequence then
        self.lost = 0
        self.problem = ""

    @property
    def dirty(self) -> bool:
        """Tell whether something is not on disk yet."""
        noted = self._alerts or self._domains or self._meta_changed or self._node_labels is not None
        return bool(noted) or self._saved < self.sequence

    def open(self) -> Restored:
        """Read the journal; without one that can be written, begin an epoch in memory.

        Raises:
            JournalInUseError: another process judges, and remembers, in its place.
        """
        try:
            restored = self._journal.open(self._new_epoch)
        except JournalInUseError:
            raise
        except JournalError as error:
            self._failed(error)
            restored = Restored(self._new_epoch(), 0, (), (), ())
            self._begins = self._meta_changed = True
        self.epoch, self.sequence = restored.epoch, restored.sequence
        self._saved = restored.sequence
        self.pending.extend(restored.transitions)
        self.adopted = restored.adopted
        self._saved_states = {item.key.id: _timers(item) for item in restored.alerts}
        return restored

    def append(self, build: Callable[[int], Transition]) -> Transition:
        """Give a transition the next sequence number."""
        transition = build(self.sequence + 1)
        self.sequence = transition.sequence
        if len(self.pending) == _MAX_PENDING:
            self.lost += 1
        self.pending.append(transition)
        return transition

    def save_alerts(self, records: Iterable[AlertRecord], known: frozenset[str]) -> frozenset[str]:
        """Note a VM's alerts as they are now; `known` are the ids noted before, the ids noted now are returned."""
        noted: set[str] = set()
        for record in records:
            key = record.key.id
            noted.add(key)
            timers = _timers(record)
            if self._saved_states.get(key) != timers:
                self._saved_states[key] = timers
                self._alerts[key] = record
        for key in known - noted:
            self._saved_states.pop(key, None)
            self._alerts[key] = None
        return frozenset(noted)

    def save_domain(self, uuid: str, record: DomainRecord | None) -> None:
        """Note a domain as it is now; None forgets it."""
        self._domains[uuid] = record

    def save_node_labels(self, labels: Mapping[str, str]) -> None:
        """Note the node's labels, by which policies choose nodes."""
        self._node_labels = labels

    def acknowledge(self, acknowledged: Acknowledged) -> bool:
        """Drop what the operator has taken; tell whether anything changed.

        An acknowledgement beyond our own sequence means that the state folder went back in time (a restored disk, or a
        crash while it was full): numbers would be used twice, so a new epoch begins.
        """
        if acknowledged.epoch != self.epoch:
            return False
        if acknowledged.sequence > self.sequence:
            old, self.epoch = self.epoch, self._new_epoch()
            self._meta_changed = True
            _LOG.warning("the state folder is older than what was acknowledged; epoch %s follows %s", self.epoch, old)
            return True
        if acknowledged.sequence <= self._acknowledged:
            return False
        self._acknowledged = acknowledged.sequence
        self._meta_changed = True
        while self.pending and self.pending[0].sequence <= acknowledged.sequence:
            self.pending.popleft()
        if not self.pending:
            self.lost = 0
        return True

    def adopt(self, handovers: Sequence[Handover]) -> list[Handover]:
        """Note what is handed over as taken; return what was not before. What is held no more is forgotten."""
        fresh = [item for item in handovers if item.id not in self.adopted]
        held = {item.id: self.adopted.get(item.id, self.sequence) for item in handovers}
        self._meta_changed |= held != self.adopted
        self.adopted = held
        return fresh

    def commit(self) -> bool:
        """Write what changed; False when the disk failed, which was then said once."""
        if not self.dirty:
            return not self.problem
        unsaved = tuple(takewhile(lambda item: item.sequence > self._saved, reversed(self.pending)))[::-1]
        batch = Batch(
            epoch=self.epoch,
            sequence=self.sequence,
            # What overflowed goes from the disk too.
            dropped=self.pending[0].sequence - 1 if self.pending else self.sequence,
            transitions=unsaved,
            alerts=dict(self._alerts),
            domains=dict(self._domains),
            adopted=self.adopted,
            node_labels=self._node_labels,
            begins=self._begins,
        )
        try:
            self._journal.commit(batch)
        except JournalError as error:
            self._failed(error)
            return False
        self._alerts, self._domains, self._node_labels, self._saved = {}, {}, None, self.sequence
        begun, self._begins, self._meta_changed = self._begins, False, False
        if self.problem:
            _LOG.info(
                "the journal is written again; %s",
                "what it held before the start is dropped" if begun else "nothing was lost",
            )
            self.problem = ""
        return True

    def close(self) -> None:
        """Write what is left and close."""
        self.commit()
        self._journal.close()

    def _failed(self, error: JournalError) -> None:
        if not self.problem:
            _LOG.error("%s", error)
        self.problem = str(error)


def _timers(record: AlertRecord) -> _Saved:
    """Return what a record is written for; its evidence alone changes with each sample."""
    return record.state, record.memory
