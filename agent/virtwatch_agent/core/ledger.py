"""The numbering of transitions, and what is not on disk or not acknowledged yet."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.disk_thread import DiskThread
from virtwatch_agent.journal.store import (
    Batch,
    Journal,
    JournalError,
    JournalGoneError,
    JournalInUseError,
    Restored,
)
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.observations import LibvirtObject
from virtwatch_agent.seams import Clock
from virtwatch_api.alert import AlertState
from virtwatch_api.nodemonitor import Acknowledged, Handover, Transition
from virtwatch_process.backoff import Backoff

_LOG = logging.getLogger(__name__)
_MAX_PENDING = 10_000  # transitions; about 10 MB. Beyond it the oldest go, and the node's Journaling condition says so.
_PATIENCE_S = 5.0  # with a disk that does not answer; then what waits for it continues
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 15.0  # after a disk that refused
_CLOSE_S = 1.5  # for each of the last writing and the closing
_FLUSH_TURNS = 3  # what is being written, what was noted since, and a file that was found gone
_CHECK_S = 10.0  # between looks whether the folder is still there, while nothing is written

_Saved = tuple[AlertState, Mapping[str, Any], str, str]


@dataclass(frozen=True, slots=True)
class _Writing:
    """Hold what the disk is busy with; a `batch` of None is a look whether the file is still there."""

    batch: Batch | None
    future: "Future[None]"
    since: float  # monotonic seconds


class Ledger:
    """Number transitions, remember what is not yet on disk or not yet acknowledged, and write it in one transaction.

    The disk has a thread of its own. While it fails or hangs, all continues in memory and is written as soon as it
    can be.
    """

    def __init__(
        self, journal: Journal, *, new_epoch: Callable[[], str], clock: Clock, wake: Callable[[], None] = lambda: None
    ) -> None:
        """Call `wake`, on the disk's thread, when there is something to `poll`."""
        self._journal = journal
        self._new_epoch = new_epoch
        self._clock = clock
        self._wake = wake
        self._disk = DiskThread()
        self._writing: _Writing | None = None
        self._retry_at = self._checked_at = clock.monotonic()
        self._backoff = Backoff(first=_FIRST_RETRY_S, cap=_LAST_RETRY_S)
        # As they are on disk or will be: a file that is gone is written again of them.
        self._kept_alerts: dict[str, AlertRecord] = {}
        self._kept_domains: dict[str, DomainRecord] = {}
        self._kept_labels: Mapping[str, str] | None = None
        self._alerts: dict[str, AlertRecord | None] = {}
        self._domains: dict[str, DomainRecord | None] = {}
        self._labels_changed = False
        self._objects: dict[str, LibvirtObject | None] = {}
        self._kept_objects: dict[str, LibvirtObject] = {}
        self._begins = False
        self._unread = False  # what was on disk before the start could not be read
        self._gone = False  # the file was found gone, and has not been written again yet
        self._acknowledged = 0
        self._meta_changed = False
        self.saved = 0  # sequence of the newest transition on disk
        self.noted = 0  # grows with everything that is noted
        self.epoch = ""
        self.sequence = 0
        self.pending: deque[Transition] = deque(maxlen=_MAX_PENDING)
        self.adopted: Mapping[str, int] = {}  # handovers that were taken and are still held -> sequence then
        self.lost = 0
        self.problem = ""

    @property
    def dirty(self) -> bool:
        """Return whether something is to be written that is not being written yet."""
        records = self._alerts or self._domains or self._objects
        return (
            bool(records or self._meta_changed or self._labels_changed or self._begins) or self._begun < self.sequence
        )

    @property
    def durable(self) -> bool:
        """Return whether everything is on disk."""
        return not self.dirty and (self._writing is None or self._writing.batch is None)

    @property
    def _begun(self) -> int:
        """Return the sequence of the newest transition that is on disk, or is being written."""
        batch = self._writing.batch if self._writing is not None else None
        return self.saved if batch is None else batch.sequence

    def open(self) -> Restored:
        """Read the journal; without one that can be written, begin an epoch in memory.

        Raises:
            JournalInUseError: another process judges, and remembers, in its place.
        """
        try:
            restored = self._disk.submit(lambda: self._journal.open(self._new_epoch)).result(_PATIENCE_S)
        except JournalInUseError:
            raise
        except (JournalError, TimeoutError) as error:
            self._failed(error if isinstance(error, JournalError) else self._hangs())
            restored = Restored(self._new_epoch(), 0, (), (), ())
            self._begins = self._unread = True
        self.epoch, self.sequence = restored.epoch, restored.sequence
        self.saved = restored.sequence
        self.pending.extend(restored.transitions)
        self.adopted = restored.adopted
        self._kept_alerts = {item.key.id: item for item in restored.alerts}
        self._kept_domains = {item.domain.uuid: item for item in restored.domains}
        self._kept_objects = {str(item.target): item for item in restored.objects}
        self._kept_labels = restored.node_labels or None
        return restored

    def append(self, build: Callable[[int], Transition]) -> Transition:
        """Give a transition the next sequence number."""
        transition = build(self.sequence + 1)
        self.sequence = transition.sequence
        if len(self.pending) == _MAX_PENDING:
            self.lost += 1
        self.pending.append(transition)
        self.noted += 1
        return transition

    def save_alerts(self, records: Iterable[AlertRecord], known: frozenset[str]) -> frozenset[str]:
        """Note a VM's alerts as they are now; `known` are the ids noted before, the ids noted now are returned."""
        noted: set[str] = set()
        for record in records:
            key = record.key.id
            noted.add(key)
            kept = self._kept_alerts.get(key)
            if kept is None or _timers(kept) != _timers(record):
                self._kept_alerts[key] = self._alerts[key] = record
                self.noted += 1
        for key in known - noted:
            self._kept_alerts.pop(key, None)
            self._alerts[key] = None
            self.noted += 1
        return frozenset(noted)

    def save_domain(self, uuid: str, record: DomainRecord | None) -> None:
        """Note a domain as it is now; None forgets it."""
        self._domains[uuid] = record
        if record is None:
            self._kept_domains.pop(uuid, None)
        else:
            self._kept_domains[uuid] = record
        self.noted += 1

    def save_object(self, id_: str, known: LibvirtObject | None) -> None:
        """Note a virtual network or a storage pool as it is now; None forgets it."""
        self._objects[id_] = known
        if known is None:
            self._kept_objects.pop(id_, None)
        else:
            self._kept_objects[id_] = known
        self.noted += 1

    def save_node_labels(self, labels: Mapping[str, str]) -> None:
        """Note the node's labels, by which policies choose nodes."""
        self._kept_labels, self._labels_changed = labels, True
        self.noted += 1

    def acknowledge(self, acknowledged: Acknowledged) -> bool:
        """Drop what the operator has taken; return whether anything changed.

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
        if held != self.adopted:
            self._meta_changed = True
            self.noted += 1
        self.adopted = held
        return fresh

    @property
    def begin_at(self) -> float:
        """Return before when `begin` and `poll` have nothing to do, unless something is noted; monotonic seconds."""
        if self._writing is not None or self.dirty or self.problem:
            return float("-inf")
        return max(self._retry_at, self._checked_at + _CHECK_S)

    def begin(self) -> bool:
        """Let the disk take what is to be written, or look after its file; return whether it takes something now."""
        now = self._clock.monotonic()
        if self._writing is not None or now < self._retry_at:
            return False
        if self.dirty:
            batch = self._batch()
            self._write(batch, self._disk.submit(lambda: self._journal.commit(batch)), now)
            self._alerts, self._domains, self._objects = {}, {}, {}
            self._labels_changed = self._meta_changed = self._begins = False
            return True
        if now - self._checked_at >= _CHECK_S:
            self._write(None, self._disk.submit(self._journal.check), now)
        return False

    def poll(self) -> bool:
        """Take what came of the last writing; return whether something is on disk now that was not."""
        writing, now = self._writing, self._clock.monotonic()
        if writing is None:
            return False
        if not writing.future.done():
            if now - writing.since >= _PATIENCE_S:
                self._failed(self._hangs())
            return False
        self._writing, self._checked_at = None, now
        error = writing.future.exception()
        if error is not None:
            self._take_back(writing.batch)
            self._refused(error, now)
        elif writing.batch is not None:
            self._wrote(writing.batch)
        else:
            self._meta_changed |= bool(self.problem)  # only what is written shows that it is over
        return error is None and writing.batch is not None

    def flush(self) -> bool:
        """Write what is left, as far as the disk takes it soon; return whether everything is on disk."""
        for _ in range(_FLUSH_TURNS):
            self._retry_at = self._clock.monotonic()
            self.begin()
            if self._writing is None or not wait([self._writing.future], _CLOSE_S).done:
                break
            self.poll()
            if self.problem:
                break
        return self.durable

    def close(self) -> None:
        """Write what is left and close; a disk that hangs is left behind."""
        self.flush()
        if self._writing is None:
            wait([self._disk.submit(self._journal.close)], _CLOSE_S)
        self._disk.stop()

    def _batch(self) -> Batch:
        """Gather what is to be written: all that there is where a file begins."""
        since = 0 if self._begins else self.saved
        unsaved = tuple(takewhile(lambda item: item.sequence > since, reversed(self.pending)))[::-1]
        return Batch(
            epoch=self.epoch,
            sequence=self.sequence,
            # What overflowed goes from the disk too.
            dropped=self.pending[0].sequence - 1 if self.pending else self.sequence,
            transitions=unsaved,
            alerts=dict(self._kept_alerts if self._begins else self._alerts),
            domains=dict(self._kept_domains if self._begins else self._domains),
            objects=dict(self._kept_objects if self._begins else self._objects),
            adopted=self.adopted,
            node_labels=self._kept_labels if self._begins or self._labels_changed else None,
            begins=self._begins,
        )

    def _write(self, batch: Batch | None, future: "Future[None]", now: float) -> None:
        self._writing = _Writing(batch, future, now)
        future.add_done_callback(lambda _: self._wake())

    def _wrote(self, batch: Batch) -> None:
        self.saved = batch.sequence
        self._backoff.reset()
        if self.problem:
            _LOG.info(
                "the journal is written again; %s",
                "what it held before the start is dropped" if self._unread else "nothing was lost",
            )
        self.problem, self._unread, self._gone = "", False, False

    def _take_back(self, batch: Batch | None) -> None:
        """Note again what could not be written; what was noted since is newer."""
        self._meta_changed = True
        if batch is not None:
            self._alerts = {**batch.alerts, **self._alerts}
            self._domains = {**batch.domains, **self._domains}
            self._objects = {**batch.objects, **self._objects}
            self._labels_changed |= batch.node_labels is not None
            self._begins |= batch.begins

    def _refused(self, error: BaseException, now: float) -> None:
        if isinstance(error, JournalGoneError):
            self._begins = True
            if not self.problem and not self._gone:
                self._gone = True
                _LOG.warning("%s; it is written again, and nothing is lost", error)
                return
        self._retry_at = now + self._backoff.delay()
        if isinstance(error, JournalError):
            self._failed(error)
        else:
            said = f"cannot write {self._journal.folder}: {error!r}; please report this as a defect"
            self._failed(JournalError(said), cause=error)

    def _hangs(self) -> JournalError:
        return JournalError(
            f"the disk of {self._journal.folder} has not answered for {_PATIENCE_S:.0f} s; see what holds it up. "
            "Alerts continue, but a restart before it answers may repeat or lose some"
        )

    def _failed(self, error: JournalError, *, cause: BaseException | None = None) -> None:
        if not self.problem:
            _LOG.error("%s", error, exc_info=cause)
        self.problem = str(error)


def _timers(record: AlertRecord) -> _Saved:
    """Return what a record is written for; the value in its evidence changes with each sample, and waits for these."""
    return record.state, record.memory, record.evidence.culprit, record.evidence.place
