"""Two guests that are pinned to one CPU and both want all of it: each is named as the reason why the other waits."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from tests.integration.cli.conftest import Virtwatch, virtwatch
from virtwatch_agent.collect.kernel.threads import allowed_cpus, look, names
from virtwatch_rules.contention import Contention, contention

__all__ = ["virtwatch"]

PROC = Path("/proc")
DEADLINE_S = 60.0
OWN = 0.1  # the least share of the CPU that the starved guest gets
# Five times the weight of a program: what else runs on the CPU, other tests among it, takes little from either guest.
AHEAD = -7
CPU = min(os.sched_getaffinity(0))  # not that of which another test lets nothing be left: see test_culprits.py


@contextmanager
def pinned(guests: list[Guest], cpu: int) -> Iterator[None]:
    """Pin guests to one CPU, where they stand in each other's way alone."""
    before, nice = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    place(guests, {cpu}, nice=AHEAD)
    try:
        yield
    finally:
        place(guests, before, nice=nice)


def place(guests: list[Guest], cpus: set[int], *, nice: int) -> None:
    for guest in guests:
        with suppress(FileNotFoundError):  # where sessions are scheduled as groups, these have the priority
            (PROC / str(guest.qemu_pid) / "autogroup").write_text(str(nice))
        for task in (PROC / str(guest.qemu_pid) / "task").iterdir():
            with suppress(ProcessLookupError):  # QEMU's workers come and go
                os.sched_setaffinity(int(task.name), cpus)
                os.setpriority(os.PRIO_PROCESS, int(task.name), nice)


def watched(target: Guest, other: Guest) -> Contention:
    """Look each half second until both have run for a while and the other is named."""
    looks, machines = [], {guest.qemu_pid: guest.name for guest in (target, other)}
    deadline = time.monotonic() + DEADLINE_S
    while True:
        looks.append(look(PROC, at=time.monotonic()))
        processes = {thread.process for thread in looks[-1].threads.values()}
        found = contention(
            looks,
            target=target.qemu_pid,
            cpus=allowed_cpus(PROC / str(target.qemu_pid)),
            machines=machines,
            names=names(PROC, processes),
        )
        if found.seconds > 3 and found.own > OWN and any(gain.name == other.name for gain in found.gains):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_the_guest_on_the_same_cpu_is_named(linux_launcher: Launcher, linux_host: HostLibvirt) -> None:
    starved, hog = linux_launcher.guest, linux_host.guests[0]
    with pinned([starved, hog], cpu=CPU):
        for guest in (starved, hog):
            guest.busy(cpu=True)
        try:
            found = watched(starved, hog)
        finally:
            for guest in (starved, hog):
                guest.calm()
    gain = next(gain for gain in found.gains if gain.name == hog.name)
    assert gain.virtual_machine
    assert 0.1 < gain.share < 0.9
    assert f"{hog.name} (" in found.text


POLICY = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: starved}
spec:
  collection: {interval: 1s}
  rules:
  - name: starved
    threshold:
      signal: vm.cpu.delay.ratio
      aggregate: {function: Avg, window: 3s}
      warning: {above: "10%", recover: "5%"}
      for: 3s
"""


def test_an_alert_says_which_guest_has_the_cpu(
    linux_launcher: Launcher, linux_host: HostLibvirt, virtwatch: Virtwatch, tmp_path: Path
) -> None:
    starved, hog = linux_launcher.guest, linux_host.guests[0]
    policy = tmp_path / "starved.yaml"
    policy.write_text(POLICY)
    connections = ("--connect", linux_launcher.uri, "--connect", linux_host.uri)
    with pinned([starved, hog], cpu=CPU):
        for guest in (starved, hog):
            guest.busy(cpu=True)
        try:
            command = virtwatch("watch", "-f", policy, "-o", "json", *connections)
            fired = [command.document(type="transition", action="Fired") for _ in range(2)]
        finally:
            for guest in (starved, hog):
                guest.calm()
    told = {item["subject"]["domain"]: item["evidence"]["culprit"] for item in fired}
    assert f"VM {hog.name} (" in told[starved.name]
    assert f"VM {starved.name} (" in told[hog.name]
