"""The agent's memory on disk.

One SQLite transaction holds a transition together with the alert state that it leaves, so that a kill at any moment
can neither lose a transition nor make it happen twice. One process at a time has it: a lock, which the kernel drops
with the process, keeps others out.
"""

import fcntl
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.codec import (
    decode_alert,
    decode_domain,
    decode_entry,
    decode_object,
    encode_alert,
    encode_domain,
    encode_entry,
    encode_object,
)
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.observations import LibvirtObject
from virtwatch_api.nodemonitor import Transition

_LOG = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transitions (sequence INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS domains (uuid TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""
_SYNC_FULL = "PRAGMA synchronous=FULL"  # a power cut must not lose a transition that was already announced
R = TypeVar("R")


class JournalError(Exception):
    """Say that the state folder could not be written; the message names it and what to do."""


class JournalGoneError(JournalError):
    """Say that the file was removed, or is no journal any more: all that it held must be written again."""


class JournalInUseError(JournalError):
    """Say that another process has the state folder; nothing in it was read or changed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold what one turn of the core changes; None forgets an alert, a domain or an object.

    Transitions up to `dropped` are needed no more; no node labels leaves those of before. `begins` says that what is on
    disk could not be read, so that this batch is all that there is.
    """

    epoch: str
    sequence: int
    dropped: int
    transitions: Sequence[Transition]
    alerts: Mapping[str, AlertRecord | None]
    domains: Mapping[str, DomainRecord | None]
    adopted: Mapping[str, int] = field(default_factory=dict)
    objects: Mapping[str, LibvirtObject | None] = field(default_factory=dict)
    node_labels: Mapping[str, str] | None = None
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """Hold what was on disk."""

    epoch: str
    sequence: int
    transitions: tuple[Transition, ...]
    alerts: tuple[AlertRecord, ...]
    domains: tuple[DomainRecord, ...]
    objects: tuple[LibvirtObject, ...] = ()
    adopted: Mapping[str, int] = field(default_factory=dict)
    node_labels: Mapping[str, str] = field(default_factory=dict)


class Journal:
    """Keep transitions until they are acknowledged, and alerts and domains as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "journal.db"
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open: device and inode

    def open(self, new_epoch: Callable[[], str]) -> Restored:
        """Read what is on disk; a file that is no journal is put aside and an epoch begins.

        Raises:
            JournalError: the folder cannot be written.
            JournalInUseError: another process has it.
        """
        try:
            return self._read(new_epoch)
        except sqlite3.OperationalError as error:
            self._close_database()
            raise self._explained(error) from error
        except sqlite3.DatabaseError as error:
            try:
                _LOG.error("%s, and a new epoch begins", self._put_aside(error))
                return self._read(new_epoch)
            except (sqlite3.Error, OSError) as again:
                self._close_database()
                raise self._explained(again) from again

    def check(self) -> None:
        """Look whether the file that is open is still the one in the folder.

        Raises:
            JournalError: nobody can tell.
            JournalGoneError: it is not; what it held must be written again.
        """
        try:
            if self._database is None or _identity(self._path) == self._identity:
                return
        except OSError as error:
            raise self._explained(error) from error
        self.close()
        raise JournalGoneError(f"{self._path} was removed while it was in use")

    def commit(self, batch: Batch) -> None:
        """Write a batch whole or not at all; committing the same batch again changes nothing.

        Raises:
            JournalError: the disk is full or fails; nothing of the batch was written.
            JournalGoneError: the file was removed or is broken; a batch that `begins` is needed.
        """
        self.check()
        try:
            with self._connection() as database:
                self._write(database, batch)
        except (sqlite3.Error, OSError) as error:
            # What was opened while the folder was read-only would stay so for ever.
            self._close_database()
            if type(error) is sqlite3.DatabaseError:
                raise self._broken(error) from error
            raise self._explained(error) from error

    def _broken(self, error: sqlite3.DatabaseError) -> JournalError:
        try:
            return JournalGoneError(self._put_aside(error))
        except OSError as again:
            return self._explained(again)

    def _put_aside(self, error: sqlite3.DatabaseError) -> str:
        """Make room for a new journal; return a sentence about the old one."""
        self._close_database()
        aside = self._path.with_name(f"journal.broken-{time.time_ns()}")
        self._path.rename(aside)
        return f"{self._path} is no journal ({error}); it is kept as {aside.name}"

    def close(self) -> None:
        """Close the file and let others have the folder; what was committed stays."""
        self._close_database()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _close_database(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            self._hold()
            database = sqlite3.connect(self._path, timeout=1.0, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute(_SYNC_FULL)
                database.executescript(_SCHEMA)
            except sqlite3.Error:
                database.close()  # half of its set-up would pass for all of it
                raise
            self._database = database
            self._identity = _identity(self._path)
        return self._database

    def _hold(self) -> None:
        """Keep other processes out of the folder."""
        if self._lock is not None:
            return
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        # Not the journal's own file: SQLite locks that in its own way, and a broken one is renamed.
        lock = os.open(folder / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                raise JournalInUseError(
                    f"The state folder {folder} is used by another process: end that one, or give this one another "
                    "folder. Until then nothing is judged here"
                ) from None
            raise
        self._lock = lock

    def _read(self, new_epoch: Callable[[], str]) -> Restored:
        try:
            database = self._connection()
        except OSError as error:
            raise self._explained(error) from error
        with database:
            meta = dict(database.execute("SELECT name, value FROM meta"))
            if "epoch" not in meta:
                meta = {"epoch": new_epoch(), "sequence": "0"}
                database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        return Restored(
            epoch=meta["epoch"],
            sequence=int(meta["sequence"]),
            transitions=tuple(self._rows("SELECT body FROM transitions ORDER BY sequence", decode_entry)),
            alerts=tuple(self._rows("SELECT body FROM alerts", decode_alert)),
            domains=tuple(self._rows("SELECT body FROM domains", decode_domain)),
            objects=tuple(self._rows("SELECT body FROM objects", decode_object)),
            adopted=json.loads(meta.get("adopted", "{}")),
            node_labels=json.loads(meta.get("node_labels", "{}")),
        )

    def _rows(self, query: str, decode: Callable[[str], R]) -> Iterator[R]:
        for (body,) in self._connection().execute(query):
            try:
                yield decode(body)
            except (ValueError, KeyError, TypeError) as error:
                _LOG.error("%s holds a record that this version cannot read (%r); it is left out", self._path, error)

    def _write(self, database: sqlite3.Connection, batch: Batch) -> None:
        if batch.begins:
            for table in ("transitions", "alerts", "domains", "objects"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - names are ours
        meta = {"epoch": batch.epoch, "sequence": str(batch.sequence), "adopted": json.dumps(dict(batch.adopted))}
        if batch.node_labels is not None:
            meta["node_labels"] = json.dumps(dict(batch.node_labels))
        database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        database.execute("DELETE FROM transitions WHERE sequence <= ?", (batch.dropped,))
        database.executemany(
            "INSERT OR REPLACE INTO transitions VALUES (?, ?)",
            [(item.sequence, encode_entry(item)) for item in batch.transitions],
        )
        alerts = {key: encode_alert(record) if record else None for key, record in batch.alerts.items()}
        domains = {key: encode_domain(record) if record else None for key, record in batch.domains.items()}
        _replace(database, "alerts", "id", alerts)
        _replace(database, "domains", "uuid", domains)
        objects = {key: encode_object(item) if item else None for key, item in batch.objects.items()}
        _replace(database, "objects", "id", objects)

    def _explained(self, error: Exception) -> JournalError:
        return JournalError(
            f"cannot write {self._path}: {error}; free space or make the folder writable. Alerts continue; a restart "
            "before that may repeat or lose some"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _replace(database: sqlite3.Connection, table: str, key: str, bodies: Mapping[str, str | None]) -> None:
    kept = [(name, body) for name, body in bodies.items() if body is not None]
    gone = [(name,) for name, body in bodies.items() if body is None]
    database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", kept)  # noqa: S608 - names are ours
    database.executemany(f"DELETE FROM {table} WHERE {key} = ?", gone)  # noqa: S608
