import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtwatch_agent.core import ledger as ledger_module
from virtwatch_agent.core.ledger import Ledger
from virtwatch_agent.journal.store import Journal, JournalError
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
from virtwatch_api.nodemonitor import Acknowledged, Evidence, Transition
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, vm_ref

KEY = AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "web", "shop"), "paused", vm_ref("uuid-1"))
SUBJECT = Subject("db-1", vm_ref("uuid-1"), "n1")
FIRING = AlertState(severity=Severity.WARNING, since=1.0)


def opened(folder: Path) -> Ledger:
    epochs = itertools.count(1)
    ledger = Ledger(Journal(folder), new_epoch=lambda: f"epoch-{next(epochs)}-{folder.stat().st_mtime_ns}", clock=time)
    ledger.open()
    return ledger


def append(ledger: Ledger, count: int = 1) -> None:
    for _ in range(count):
        ledger.append(
            lambda sequence: Transition(
                sequence, KEY, Action.FIRED, Reason.EVENT, Severity.WARNING, None, 1.0, 1.0, SUBJECT, Evidence("s")
            )
        )


def numbers(ledger: Ledger) -> list[int]:
    return [item.sequence for item in ledger.pending]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1k"], check=False, capture_output=True)
    return filler


def test_what_nobody_acknowledges_stays_bounded_on_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_MAX_PENDING", 10)
    ledger = opened(tmp_path)
    for _ in range(5):
        append(ledger, 7)
        assert ledger.flush()
    ledger.close()

    assert [item.sequence for item in Journal(tmp_path).open(lambda: "never").transitions] == list(range(26, 36))


def test_an_overflow_is_over_once_everything_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_MAX_PENDING", 10)
    ledger = opened(tmp_path)
    append(ledger, 13)
    assert ledger.lost == 3

    ledger.acknowledge(Acknowledged(ledger.epoch, 12))
    assert ledger.lost == 3
    ledger.acknowledge(Acknowledged(ledger.epoch, 13))
    assert ledger.lost == 0
    ledger.close()


def test_what_was_acknowledged_while_the_disk_failed_is_not_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(tmp_path)
    append(ledger, 3)
    with monkeypatch.context() as broken:
        broken.setattr(Journal, "commit", _fail)
        assert not ledger.flush()
        ledger.acknowledge(Acknowledged(ledger.epoch, 2))
    append(ledger)
    assert ledger.flush()
    ledger.close()

    restored = Journal(tmp_path).open(lambda: "never")
    assert [item.sequence for item in restored.transitions] == [3, 4]
    assert restored.sequence == 4


def _fail(*_: object) -> None:
    raise JournalError("cannot write")


def test_a_repeated_event_renews_an_alert_on_disk_too(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    known = ledger.save_alerts([AlertRecord(KEY, FIRING, SUBJECT, Evidence("s"), memory={"last_at": 1.0})], frozenset())
    ledger.flush()
    ledger.save_alerts([AlertRecord(KEY, FIRING, SUBJECT, Evidence("s"), memory={"last_at": 300.0})], known)
    ledger.flush()
    ledger.close()

    assert [record.memory["last_at"] for record in Journal(tmp_path).open(lambda: "never").alerts] == [300.0]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_full_at_the_start_is_written_once_it_has_room(small_disk: Path) -> None:
    filler = fill(small_disk)
    ledger = opened(small_disk)
    append(ledger)
    assert not ledger.flush()
    assert "free space" in ledger.problem

    filler.unlink()

    assert ledger.flush()
    assert ledger.problem == ""
    ledger.close()
    again = opened(small_disk)
    assert (again.epoch, numbers(again)) == (ledger.epoch, [1])
    again.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_journal_that_could_not_be_read_at_the_start_is_not_mixed_with_the_epoch_that_follows(
    small_disk: Path,
) -> None:
    old = opened(small_disk)
    old.save_alerts([AlertRecord(KEY, FIRING, SUBJECT, Evidence("s"))], frozenset())
    append(old, 5)
    old.flush()
    old.close()
    filler = fill(small_disk)
    ledger = opened(small_disk)
    assert ledger.epoch != old.epoch
    append(ledger, 2)
    assert not ledger.flush()

    filler.unlink()
    assert ledger.flush()
    ledger.close()

    restored = Journal(small_disk).open(lambda: "never")
    assert (restored.epoch, restored.sequence) == (ledger.epoch, 2)
    assert [item.sequence for item in restored.transitions] == [1, 2]
    assert restored.alerts == ()
