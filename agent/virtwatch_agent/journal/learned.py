"""What rules have learned beside their alerts (baselines, events that a pattern waits for): apart from the journal.

Losing it costs time to learn, never an alert, so nothing waits for it: a thread of its own writes it.
"""

import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.targets import TargetRef

_LOG = logging.getLogger(__name__)
_KEPT_S = 30 * 86400.0  # of a target that does not come back
_MOST_WAITING = 64  # batches; a disk that hangs must not fill the memory
_OPEN_S = 2.0  # that judging waits for a disk; what is read later is not taught any more
_CLOSE_S = 2.0
_TABLE = """CREATE TABLE IF NOT EXISTS learned (
    target_kind TEXT, target TEXT, policy_kind TEXT, policy_namespace TEXT, policy TEXT, rule TEXT,
    at REAL NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (target_kind, target, policy_kind, policy_namespace, policy, rule)
)"""


@dataclass(frozen=True, slots=True)
class Learned:
    """Hold what one rule has learned of one target; `document` is its engine's."""

    target: TargetRef
    policy: PolicyKey
    rule: str
    document: Mapping[str, Any]


class LearnedStore:
    """Keep what was learned in `learned.db`; a file that cannot be read starts again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "learned.db"
        self._queue: queue.Queue[tuple[float, list[Learned]] | None] = queue.Queue(_MOST_WAITING)
        self._found: queue.SimpleQueue[list[Learned]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failing = False

    def open(self, *, now: float) -> list[Learned]:
        """Read what is kept, but for targets of which nothing came for 30 days, then begin to write."""
        self._thread = threading.Thread(target=self._run, args=(now,), name="learned", daemon=True)
        self._thread.start()
        try:
            return self._found.get(timeout=_OPEN_S)
        except queue.Empty:
            self._failed("the disk is too slow")
            return []

    def put(self, learned: list[Learned], *, now: float) -> None:
        """Write documents soon; while the disk hangs they are left out, and come again with the next."""
        try:
            self._queue.put_nowait((now, learned))
        except queue.Full:
            self._failed("the disk is too slow")

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        try:
            self._queue.put(None, timeout=_CLOSE_S)
        except queue.Full:
            return
        if self._thread is not None:
            self._thread.join(timeout=_CLOSE_S)

    def _run(self, now: float) -> None:
        self._found.put(self._read_whole(now))
        self._write()

    def _read_whole(self, now: float) -> list[Learned]:
        try:
            return self._read(now)
        except (sqlite3.Error, OSError) as error:
            _LOG.warning("cannot read %s (%s): what rules have learned is learned again", self._path, error)
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
            return []

    def _read(self, now: float) -> list[Learned]:
        with closing(self._connect()) as database, database:
            database.execute("DELETE FROM learned WHERE at < ?", (now - _KEPT_S,))
            rows = database.execute(
                "SELECT target_kind, target, policy_kind, policy_namespace, policy, rule, document FROM learned"
            )
            return [item for row in rows if (item := _learned(row)) is not None]

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)  # it may have been removed meanwhile
        database = sqlite3.connect(self._path, timeout=1.0)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(_TABLE)
        return database

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            now, learned = item
            try:
                with closing(self._connect()) as database, database:
                    database.executemany(
                        "INSERT OR REPLACE INTO learned VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _rows(learned, now)
                    )
                self._failing = False
            except (sqlite3.Error, OSError) as error:
                self._failed(str(error))

    def _failed(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            _LOG.warning("cannot write %s: %s; what rules learn is lost at a restart until it can", self._path, why)


def _rows(learned: Iterable[Learned], now: float) -> Iterable[tuple[Any, ...]]:
    for item in learned:
        policy = item.policy
        document = json.dumps(item.document, separators=(",", ":"))
        place = (item.target.kind.value, item.target.id, policy.kind.value, policy.namespace or "", policy.name)
        yield (*place, item.rule, now, document)


def _learned(row: tuple[Any, ...]) -> Learned | None:
    kind, target, policy_kind, namespace, policy, rule, document = row
    try:
        key = PolicyKey(PolicyKind(policy_kind), policy, namespace or None)
        return Learned(TargetRef(TargetKind(kind), target), key, rule, json.loads(document))
    except ValueError:  # of another version
        return None
