"""A guest that runs Linux does real work and has real faults, on demand.

Faults after which it has to boot again are shown with what the agent makes of them: agent_collect.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from lab.guests.daemon import Daemon
from lab.guests.guest import Guest, State
from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from lab.process import wait_for
from tests.integration.guests.watching import events_of

DEADLINE_S = 60.0


def vcpu_seconds(guest: Guest) -> float:
    """Return what the guest's vCPU thread has used so far, by the kernel's count."""
    for task in Path(f"/proc/{guest.qemu_pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # QEMU's workers come and go
            if (task / "comm").read_text().startswith("CPU 0/"):
                return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise AssertionError("QEMU has no thread named CPU 0/...")


def statistic(daemon: Daemon, guest: Guest, group: str, key: str) -> int:
    """Return one of libvirt's bulk statistics."""
    said = daemon.virsh("domstats", f"--{group}", guest.name)
    values = dict(line.strip().partition("=")[::2] for line in said.splitlines())
    return int(values.get(key, 0))


def grows_by(amount: float, value: Callable[[], float]) -> Callable[[], bool]:
    """Return the condition that the value has grown by that much since now."""
    before = value()
    return lambda: value() >= before + amount


def idles(guest: Guest) -> Callable[[], bool]:
    """Return the condition that the vCPU used less than a tenth of the last second."""
    seen: deque[tuple[float, float]] = deque()

    def idle() -> bool:
        now, used = time.monotonic(), vcpu_seconds(guest)
        seen.append((now, used))
        while now - seen[0][0] > 2:
            seen.popleft()
        since, before = seen[0]
        return now - since >= 1 and used - before < 0.1 * (now - since)

    return idle


def boots(guest: Guest) -> int:
    return guest.console.count("GUEST-READY")


def test_guests_of_a_launcher_and_of_a_host_boot(linux_launcher: Launcher, linux_host: HostLibvirt) -> None:
    for guest in (linux_launcher.guest, *linux_host.guests):
        assert guest.state.state == "running"
        assert boots(guest) >= 1
        assert "failed" not in guest.console


def test_a_busy_guest_uses_cpu_until_it_is_calmed(linux_launcher: Launcher) -> None:
    guest = linux_launcher.guest

    guest.busy(cpu=True)
    wait_for(grows_by(2, lambda: vcpu_seconds(guest)), what="2 s of CPU to be used", deadline=DEADLINE_S)

    guest.calm()
    wait_for(idles(guest), what="the guest to be idle", deadline=DEADLINE_S)


def test_a_guest_sends_and_receives(linux_launcher: Launcher, linux_host: HostLibvirt) -> None:
    for daemon, guest in ((linux_launcher.daemon, linux_launcher.guest), (linux_host.daemon, linux_host.guests[0])):
        received = grows_by(100_000, partial(statistic, daemon, guest, "interface", "net.0.rx.bytes"))
        sent = grows_by(100_000, partial(statistic, daemon, guest, "interface", "net.0.tx.bytes"))

        guest.busy(net=True)

        wait_for(lambda: received() and sent(), what=f"traffic of {guest.name}", deadline=DEADLINE_S)  # noqa: B023
        guest.calm()


def test_a_guest_reads_and_writes_its_disk(linux_launcher: Launcher) -> None:
    daemon, guest = linux_launcher.daemon, linux_launcher.guest
    read = grows_by(4 << 20, partial(statistic, daemon, guest, "block", "block.0.rd.bytes"))
    written = grows_by(4 << 20, partial(statistic, daemon, guest, "block", "block.0.wr.bytes"))

    guest.busy(disk=True)

    wait_for(lambda: read() and written(), what="4 MiB each way", deadline=DEADLINE_S)


def test_a_guest_that_needs_memory_says_so_through_its_balloon(linux_launcher: Launcher) -> None:
    daemon, guest = linux_launcher.daemon, linux_launcher.guest
    usable = partial(statistic, daemon, guest, "balloon", "balloon.usable")
    wait_for(lambda: usable() > 0, what="the balloon driver's numbers", deadline=DEADLINE_S)
    before = usable()

    guest.busy(memory=True)
    wait_for(lambda: usable() < (20 << 10), what="most memory to be used", deadline=DEADLINE_S)

    guest.calm()
    wait_for(lambda: usable() > before - (8 << 10), what="the memory to be given back", deadline=DEADLINE_S)


def test_a_full_disk_pauses_the_guest_until_it_is_freed_and_resumed(linux_launcher: Launcher) -> None:
    guest = linux_launcher.guest
    for _ in range(2):
        with events_of(linux_launcher.uri) as events:
            guest.fill_disk()
            assert events.expect("IO_ERROR_REASON").endswith("enospc")
        guest.wait_state("paused", "I/O error")

        guest.resume()
        guest.wait_state("paused", "I/O error")

        guest.free_disk()
        guest.resume()
        guest.wait_ready()
        assert guest.state.state == "running"
        wait_for(idles(guest), what="the writes to be complete", deadline=DEADLINE_S)
        assert guest.state.state == "running"


def test_a_paused_guest_resumes(linux_launcher: Launcher) -> None:
    guest = linux_launcher.guest

    guest.pause()
    assert guest.state == State("paused", "user")

    guest.resume()
    guest.wait_ready()
    assert guest.state.state == "running"
