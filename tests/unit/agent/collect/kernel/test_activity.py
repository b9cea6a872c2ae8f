"""Whether threads ran, of a real process whose threads are called as QEMU's are."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtwatch_agent.collect.kernel.activity import ThreadActivity

# Reads a line "COMMAND NAME" and answers when it is done: start a thread so named, let it run once, or end it.
PROCESS = """
import sys, threading
from queue import SimpleQueue
queues, threads, done = {}, {}, SimpleQueue()
def work(name, queue):
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(name)
    done.put(None)
    while queue.get():
        done.put(None)
for line in sys.stdin:
    command, name = line.strip().split(" ", 1)
    if command == "start":
        queues[name] = SimpleQueue()
        thread = threading.Thread(target=work, args=(name, queues[name]))
        thread.start()
        threads[name] = thread
        done.get()
    elif command == "run":
        queues[name].put(True)
        done.get()
    else:
        queues.pop(name).put(False)
        threads.pop(name).join()
    print("done", flush=True)
"""


class Qemu:
    """A process with threads that run when they are told to."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.now = 100.0
        for name in ("CPU 0/KVM", "IO mon_iothread", "worker"):
            self.tell("start", name)
        self.activity = ThreadActivity(Path("/proc", str(self.process.pid)))
        self.counts()

    def tell(self, command: str, name: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command} {name}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"
        if command == "end":
            self._wait_gone(name)
        else:
            self._wait_resting(name)

    def counts(self, *, after: float = 1.0) -> tuple[int, int]:
        self.now += after
        self.activity.look(now=self.now)
        return self.activity.vcpus, self.activity.disks

    def _wait_resting(self, name: str) -> None:
        """Return when the thread rests again: it is seen to run for a moment after it has answered."""
        [task] = self._tasks(name)
        # The others, too: while one of them has the interpreter, it may only wait for that.
        while not all("sleeping" in (one / "status").read_text() for one in (task, *task.parent.iterdir())):
            time.sleep(0.001)

    def _wait_gone(self, name: str) -> None:
        """Return when the thread is not listed any more: the kernel needs a moment for that after it was joined."""
        while self._tasks(name):
            time.sleep(0.001)

    def _tasks(self, name: str) -> list[Path]:
        return [task for task in Path(f"/proc/{self.process.pid}/task").iterdir() if _comm(task) == name]


def _comm(task: Path) -> str:
    """Return a thread's name, "" of one that has just gone."""
    try:
        return (task / "comm").read_text().strip()
    except OSError:
        return ""


@pytest.fixture
def qemu() -> Iterator[Qemu]:
    found = Qemu()
    yield found
    found.process.kill()
    found.process.communicate()


def test_threads_that_rest_move_nothing(qemu: Qemu) -> None:
    assert qemu.counts() == qemu.counts()


def test_a_pool_thread_that_ran_moves_the_disks_alone(qemu: Qemu) -> None:
    vcpus, disks = qemu.counts()
    qemu.tell("run", "worker")
    assert qemu.counts() == (vcpus, disks + 1)


def test_a_vcpu_that_ran_moves_the_vcpus_alone(qemu: Qemu) -> None:
    vcpus, disks = qemu.counts()
    qemu.tell("run", "CPU 0/KVM")
    assert qemu.counts() == (vcpus + 1, disks)


def test_what_asks_the_monitor_moves_nothing(qemu: Qemu) -> None:
    """Each question of ours would otherwise be taken for work of the guest's."""
    before = qemu.counts()
    qemu.tell("run", "IO mon_iothread")
    assert qemu.counts() == before


def test_a_thread_that_came_or_went_has_run(qemu: Qemu) -> None:
    _, disks = qemu.counts()
    qemu.tell("start", "IO iothread1")
    _, came = qemu.counts()
    assert came > disks
    qemu.tell("end", "IO iothread1")
    _, went = qemu.counts()
    assert went > came
    assert qemu.counts() == qemu.counts()


def test_after_a_long_gap_a_pool_thread_may_have_come_and_gone(qemu: Qemu) -> None:
    _, disks = qemu.counts()
    assert qemu.counts(after=8.9)[1] == disks
    assert qemu.counts(after=9.1)[1] > disks


def test_of_a_process_that_is_gone_nobody_can_tell(qemu: Qemu) -> None:
    vcpus, disks = qemu.counts()
    qemu.process.kill()
    qemu.process.communicate()
    first = qemu.counts()
    assert first[0] > vcpus
    assert first[1] > disks
    second = qemu.counts()
    assert second[0] > first[0]
    assert second[1] > first[1]


def test_without_named_vcpus_nobody_can_tell_whether_they_ran() -> None:
    """QEMU names its threads only when it is started so."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        activity = ThreadActivity(Path("/proc", str(process.pid)))
        activity.look(now=1.0)
        before = activity.vcpus
        activity.look(now=2.0)
        assert activity.vcpus > before
    finally:
        process.communicate(b"\n")
