import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import rundir
from lab.process import Identity, Process, start, wait_for
from lab.rundir import RunDir, clean, leftovers, processes, runs
from tools.errors import ToolError

# Makes a run with one process, says its folder and waits to be killed.
OWNER = """
import time
from lab.process import start
from lab.rundir import RunDir
run = RunDir.create("victim")
start("sleeper", ["sleep", "600"], run_dir=run.path)
print(run.path, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIRTWATCH_RUN", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def orphan() -> RunDir:
    """Be the run of an owner that was killed by kill -9."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, "-c", OWNER], env=environment, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        path = owner.stdout.readline().strip()
        owner.kill()
    return RunDir(Path(path))


def test_a_living_owners_run_is_no_leftover() -> None:
    run = RunDir.create("test")
    assert run in runs()
    assert leftovers() == []
    clean(run)
    assert runs() == []


def test_a_killed_owners_run_is_found_and_its_processes_end(orphan: RunDir) -> None:
    assert leftovers() == [orphan]
    (sleeper,) = processes(orphan)
    clean(orphan)
    assert not sleeper.alive
    assert leftovers() == []


def test_a_kept_run_is_no_leftover() -> None:
    run = RunDir.create("test")
    run.keep()
    owner = json.loads((run.path / "owner.json").read_text())
    (run.path / "owner.json").write_text(json.dumps(owner | {"identity": "1 1"}))
    assert not run.owned
    assert leftovers() == []
    clean(run)


def test_a_killed_owners_run_is_found_by_who_chose_no_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rundir, "DEFAULT_ROOT", tmp_path / "default")
    monkeypatch.setattr(rundir, "ELSEWHERE", tmp_path / "default" / ".elsewhere")
    run = RunDir.create("test")
    owner = json.loads((run.path / "owner.json").read_text())
    (run.path / "owner.json").write_text(json.dumps(owner | {"identity": "1 1"}))
    monkeypatch.setenv("VIRTWATCH_RUN", str(tmp_path / "third"))
    assert leftovers() == []
    monkeypatch.delenv("VIRTWATCH_RUN")
    assert leftovers() == [run]
    assert runs() == []
    clean(run)
    assert leftovers() == []


def test_a_reused_pid_is_never_killed(orphan: RunDir) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        (orphan.path / "pids" / "sleeper").write_text(f"{stranger.pid} 1")
        clean(orphan)
        assert stranger.poll() is None
        stranger.kill()


def test_runs_are_listed_while_others_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = RunDir.create("one"), RunDir.create("two")
    listed = rundir._changed

    def cleaned_meanwhile(path: Path) -> float:
        clean(one)
        return listed(path)

    monkeypatch.setattr(rundir, "_changed", cleaned_meanwhile)
    assert two in runs()
    clean(two)


def test_two_runs_do_not_see_each_other() -> None:
    one, two = RunDir.create("one"), RunDir.create("two")
    sleeper = start("sleeper", ["sleep", "600"], run_dir=two.path)
    clean(one)
    assert sleeper.alive
    sleeper.kill()
    clean(two)


def test_what_a_run_did_to_the_machine_is_undone_backwards(tmp_path: Path) -> None:
    run = RunDir.create("test")
    for word in ("first", "second"):
        run.record_undo("sh", "-c", f"echo {word} >> {tmp_path}/undone")
    clean(run)
    assert (tmp_path / "undone").read_text() == "second\nfirst\n"


def test_what_cannot_be_undone_is_named_and_tried_again_by_the_next_who_cleans(tmp_path: Path) -> None:
    run = RunDir.create("test")
    run.record_undo("sh", "-c", f"touch {tmp_path}/undone")
    run.record_undo("ls", str(tmp_path / "mended"))
    with pytest.raises(ToolError, match=r"is not taken back:\nls .*mended: .*No such file"):
        clean(run)
    assert (tmp_path / "undone").exists()
    (tmp_path / "mended").touch()
    clean(run)
    assert not run.path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_mounts_under_a_run_are_taken_away_and_what_they_showed_is_not(tmp_path: Path) -> None:
    run = RunDir.create("test")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (run.path / "seen here").mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "precious", run.path / "seen here"], check=True)
    clean(run)
    assert not run.path.exists()
    assert (tmp_path / "precious" / "file").exists()


def test_a_folder_of_somebody_else_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ToolError, match="set VIRTWATCH_RUN"):
        RunDir.create("test")


class TestProcess:
    @pytest.fixture
    def sleeper(self, tmp_path: Path) -> Process:
        return start("sleeper", ["sh", "-c", "echo hello; sleep 600 & wait"], run_dir=tmp_path)

    def test_kill_ends_the_whole_group_and_restart_begins_again(self, sleeper: Process, tmp_path: Path) -> None:
        wait_for(lambda: "hello" in sleeper.tail(), what="its first word", deadline=30, process=sleeper)
        first = sleeper.pid
        sleeper.kill()
        assert not sleeper.alive
        wait_for(lambda: processes(RunDir(tmp_path)) == [], what="the end of its children", deadline=30)
        sleeper.restart()
        assert sleeper.alive
        assert sleeper.pid != first
        sleeper.stop()

    def test_a_process_deaf_to_term_is_stopped_all_the_same(self, tmp_path: Path) -> None:
        stale = start("stale", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], run_dir=tmp_path)
        wait_for(lambda: "ready" in stale.tail(), what="its trap", deadline=30, process=stale)
        stale.stop(deadline=0.2)
        assert not stale.alive

    def test_waiting_for_a_process_that_ended_fails_at_once_with_its_last_words(self, tmp_path: Path) -> None:
        failing = start("failing", ["sh", "-c", "echo disk is full; exit 1"], run_dir=tmp_path)
        with pytest.raises(ToolError, match=r"(?s)failing ended while waiting for its port.*disk is full"):
            wait_for(lambda: False, what="its port", deadline=600, process=failing)
        failing.kill()

    def test_a_zombie_counts_as_dead(self, sleeper: Process) -> None:
        identity = Identity.of(sleeper.pid)
        assert identity is not None
        os.kill(sleeper.pid, signal.SIGKILL)
        wait_for(lambda: not identity.alive, what="its death", deadline=30)
        assert not sleeper.alive
        sleeper.kill()
