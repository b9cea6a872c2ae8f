import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.rules.judged import POLICY, T0, Judged
from virtwatch_agent.core.learning import Learning
from virtwatch_agent.journal.learned import Learned, LearnedStore
from virtwatch_api.policy import AnomalyRule, CountPattern, EventMatch, PatternRule, Severity
from virtwatch_api.targets import vm_ref

VM = vm_ref("11111111-2222-3333-4444-555555555555")
LOOP = PatternRule(Severity.CRITICAL, CountPattern(EventMatch("vm.crashed"), 3, 600.0))
UNUSUAL = AnomalyRule(Severity.WARNING, ("vm.cpu.utilization",), "Medium")
DAY = 86400.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a disk that a busy machine delays: what is read too late is not known."""
    monkeypatch.setattr("virtwatch_agent.journal.learned._OPEN_S", 30.0)
    monkeypatch.setattr("virtwatch_agent.journal.learned._CLOSE_S", 30.0)


class Target:
    """What `Learning` needs of one."""

    def __init__(self, *rules: object) -> None:
        self.ref = VM
        self.judged = Judged(*rules, interval=60.0)  # type: ignore[arg-type]
        self.evaluator = self.judged.evaluator
        self.learned, self.teach = self.evaluator.learned, self.evaluator.teach


def look(learning: Learning, target: Target, at: float) -> None:
    learning.look([target], now=at)


def restarted(folder: Path, *rules: object, now: float) -> Target:
    again, target = Learning(LearnedStore(folder)), Target(*rules)
    again.open(now=now)
    look(again, target, now)
    return target


def test_an_event_of_a_pattern_outlasts_a_kill_five_seconds_later(tmp_path: Path) -> None:
    store, target = LearnedStore(tmp_path), Target(LOOP)
    learning = Learning(store)
    learning.open(now=T0)
    look(learning, target, T0)
    for at in (1, 2):
        target.judged.event("vm.crashed", at)
    look(learning, target, T0 + 5)
    store.close()  # writes what it was given; nothing else is saved at a kill

    after = restarted(tmp_path, LOOP, now=T0 + 6)
    assert after.judged.event("vm.crashed", 7) == [("Fired", "Event")]


def test_a_baseline_is_saved_each_five_minutes_and_at_the_end(tmp_path: Path) -> None:
    target = Target(UNUSUAL)
    learning = Learning(LearnedStore(tmp_path))
    learning.open(now=T0)
    for minute in range(10):
        target.judged.see(minute * 60.0, {"vm.cpu.utilization": 0.1})
        look(learning, target, T0 + minute * 60.0)
    learning.close([target], now=T0 + 600)

    after = restarted(tmp_path, UNUSUAL, now=T0 + 700)
    ((_, _, document),) = after.evaluator.learned()
    assert document["begun"] == T0
    assert document["series"][0][2]["counts"][0] >= 9


def rows(folder: Path) -> int:
    with sqlite3.connect(folder / "learned.db") as database:
        (count,) = database.execute("SELECT count(*) FROM learned").fetchone()
    return int(count)


def test_what_a_target_taught_is_dropped_after_thirty_days_without_it(tmp_path: Path) -> None:
    store = LearnedStore(tmp_path)
    store.open(now=T0)
    store.put([Learned(VM, POLICY, "r", {"version": 1})], now=T0)
    store.close()
    assert rows(tmp_path) == 1
    assert LearnedStore(tmp_path).open(now=T0 + 31 * DAY) == []
    assert rows(tmp_path) == 0


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"none" * 500), lambda path: path.mkdir()])
def test_a_file_that_cannot_be_read_costs_time_to_learn_only(damage: Callable[[Path], object], tmp_path: Path) -> None:
    damage(tmp_path / "learned.db")
    store = LearnedStore(tmp_path)
    assert store.open(now=T0) == []
    store.put([Learned(VM, POLICY, "r", {"version": 1})], now=T0)
    store.close()


def test_a_disk_that_hangs_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, free = LearnedStore(tmp_path), threading.Event()
    monkeypatch.setattr(store, "_read", lambda now: [])
    monkeypatch.setattr(store, "_connect", lambda: free.wait() and sqlite3.connect(":memory:"))
    store.open(now=T0)
    for _ in range(200):
        store.put([Learned(VM, POLICY, "r", {"version": 1})], now=T0)
    free.set()
