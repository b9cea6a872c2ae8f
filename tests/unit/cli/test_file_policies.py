"""A running watch goes on with what was valid, whatever its files become."""

import os
import queue
import threading
import time
from pathlib import Path

import pytest

from virtwatch_cli.watch import file_policies
from virtwatch_cli.watch.file_policies import FilePolicies

DEADLINE_S = 60.0
POLICY = """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: laptop}
spec: {rules: [{name: busy, threshold: {signal: vm.cpu.utilization, warning: {above: 90%}}}]}
"""


class Told:
    """Note what a screen is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.changes = threading.Event()

    def wrong(self, line: object) -> None:
        self.lines.append(str(line))

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not any(words in line for line in self.lines):
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.02)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def policies(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file_policies, "_PERIOD", 0.05)
    (tmp_path / "p.yaml").write_text(POLICY)
    made = FilePolicies([tmp_path], changed=lambda _: told.changes.set(), wrong=told.wrong)
    assert made.read() == []
    made.start(lambda _: None)
    yield made
    made.stop()


@pytest.mark.parametrize("bad", ["!!bool x", '!!int ""', "!!timestamp x", "[", "*none"])
def test_a_wrong_edit_keeps_the_policy_and_the_reader(bad: str, tmp_path: Path, policies: FilePolicies, told: Told):
    edit(tmp_path / "p.yaml", POLICY.replace("90%", bad))
    told.wait_for("what was valid in it before stays in force: default/laptop")
    assert [str(item.policy) for item in policies.thresholds] == ["default/laptop"]

    edit(tmp_path / "p.yaml", POLICY.replace("90%", "80%"))
    assert told.changes.wait(DEADLINE_S)


def test_a_reader_that_fails_says_so_and_goes_on(
    tmp_path: Path, policies: FilePolicies, told: Told, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: object) -> None:
        raise MemoryError("too much")

    with monkeypatch.context() as failing:
        failing.setattr(file_policies, "read_policy_files", fail)
        edit(tmp_path / "p.yaml", POLICY.replace("90%", "70%"))
        told.wait_for("the policies in force stay in force")

    edit(tmp_path / "p.yaml", POLICY.replace("90%", "80%"))
    assert told.changes.wait(DEADLINE_S)


class _Writer(threading.Event):
    """Stand for the end of a reader; write the rest of a file while the reader waits for that."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def wait(self, timeout: float | None = None) -> bool:
        if timeout == file_policies._SETTLED and not self._path.read_text():
            edit(self._path, POLICY.replace("90%", "80%"))
        return super().wait(timeout)


def test_a_file_is_read_once_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file_policies, "_PERIOD", 0.05)
    path, changes = tmp_path / "p.yaml", queue.SimpleQueue()
    path.write_text(POLICY)
    policies = FilePolicies([tmp_path], changed=changes.put, wrong=changes.put)
    policies._stop = _Writer(path)
    policies.read()
    policies.start(lambda _: None)
    edit(path, "")
    (thresholds,) = changes.get(timeout=DEADLINE_S)
    policies.stop()

    assert thresholds.rules[0].body.warning.value == 0.8
    assert changes.empty()


def edit(path: Path, text: str) -> None:
    """Replace a file at once: a reader that looks meanwhile would find an empty one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    now = time.time_ns()
    os.utime(new, ns=(now, now))  # a file system may keep time too coarsely to tell two edits apart
    new.replace(path)


def test_a_rule_that_is_replaced_is_said_once(tmp_path: Path, policies: FilePolicies, told: Told) -> None:
    (tmp_path / "q.new").write_text(POLICY.replace("laptop", "second"))
    (tmp_path / "q.new").rename(tmp_path / "q.yaml")
    told.wait_for(
        "Rule busy of MonitorPolicy default/second is replaced and judges nothing: MonitorPolicy default/laptop comes "
        "first by name. To have both, rename one of the rules."
    )
    edit(tmp_path / "q.yaml", POLICY.replace("laptop", "second").replace("90%", "80%"))
    told.changes.clear()
    assert told.changes.wait(DEADLINE_S)
    assert len(told.lines) == 1


def test_a_rule_that_is_replaced_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"{POLICY}---\n{POLICY.replace('laptop', 'second')}")
    policies = FilePolicies([tmp_path], changed=lambda _: None, wrong=lambda _: None)
    (said,) = policies.read()
    assert str(said).startswith("Rule busy of MonitorPolicy default/second is replaced")
    assert policies.read() == []
