"""What is read of a VM on request: pressure, waits for disks, its state, disks' errors; of real guests."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from tests.integration.agent_collect.collected import Collected
from tests.integration.agent_collect.conftest import Collect
from tests.integration.guest_fixtures import MakeLauncher
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source

ALL = (Source.STATE, Source.PRESSURE, Source.DELAYS, Source.ERRORS, Source.BALLOON)
PRESSED = ("pressure.cpu", "")


def asked(collected: Collected, uuid: str) -> Collected:
    """Ask a VM's sources, also those that the other tests do not."""
    collected.ask(uuid, *ALL)
    return collected


def latest(collected: Collected, uuid: str, source: Source, holding) -> Sample:
    return collected.sample(uuid, source, since=collected.mark(), holding=holding)


@contextmanager
def busy_machine() -> Iterator[None]:
    """Let every CPU have more to do than it can."""
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_a_busy_vm_presses_its_own_control_group(collect: Collect, linux_launcher: Launcher, pods_dir: Path) -> None:
    guest = linux_launcher.guest
    collected = asked(collect(pods_dir=pods_dir), guest.uuid)
    before = collected.sample(guest.uuid, Source.PRESSURE).values
    assert {key for key, _ in before} == {"pressure.cpu", "pressure.memory", "pressure.io"}
    guest.busy(cpu=True)
    with busy_machine():
        latest(collected, guest.uuid, Source.PRESSURE, lambda one: one.values[PRESSED] > before[PRESSED] + 0.1)


def test_a_vm_without_a_group_of_its_own_says_why(collect: Collect, linux_host: HostLibvirt) -> None:
    guest, *_ = linux_host.guests
    collected = asked(collect(host_socket=linux_host.socket), guest.uuid)

    said = collected.sample(guest.uuid, Source.PRESSURE)

    assert not said.values
    assert "no control group of its own" in said.unavailable["pressure.io"]


def test_a_pause_is_timed_and_its_reason_named(collect: Collect, make_launcher: MakeLauncher, pods_dir: Path) -> None:
    launcher = make_launcher("shop", "paused")  # stays paused, as it was made
    uuid = launcher.guest.uuid
    collected = asked(collect(pods_dir=pods_dir), uuid)

    told = latest(collected, uuid, Source.STATE, lambda one: one.values["state.paused", ""] > 1)

    [state] = [device for key, device in told.values if key == "state"]
    assert state.startswith("paused (")
    launcher.guest.resume()
    latest(collected, uuid, Source.STATE, lambda one: one.values["state.paused", ""] == 0)


def test_a_full_disk_is_an_error_of_that_disk(collect: Collect, linux_launcher: Launcher, pods_dir: Path) -> None:
    guest = linux_launcher.guest
    collected = asked(collect(pods_dir=pods_dir), guest.uuid)
    assert collected.sample(guest.uuid, Source.ERRORS).values["disk.error", "vda"] == 0

    guest.fill_disk()

    latest(collected, guest.uuid, Source.ERRORS, lambda one: one.values["disk.error", "vda"] == 2)
    latest(collected, guest.uuid, Source.STATE, lambda one: ("state", "paused (ioerror)") in one.values)
    guest.free_disk()
    guest.resume()
    latest(collected, guest.uuid, Source.ERRORS, lambda one: one.values["disk.error", "vda"] == 0)


def test_the_samples_of_a_monitor_that_is_stuck_grow_old(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "frozen")
    uuid = launcher.guest.uuid
    collected = asked(collect(pods_dir=pods_dir), uuid)
    collected.sample(uuid, Source.BALLOON)

    launcher.guest.freeze_qemu()

    latest(collected, uuid, Source.STATE, lambda one: one.values["telemetry.age", ""] > 4)
    launcher.guest.thaw_qemu()
    latest(collected, uuid, Source.STATE, lambda one: one.values["telemetry.age", ""] < 2)


def test_a_kernel_that_counts_no_delays_says_what_to_do(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    if Path("/proc/sys/kernel/task_delayacct").read_text().strip() != "0":
        pytest.skip("this machine counts delays already")
    launcher = make_launcher("shop", "uncounted")
    collected = asked(collect(pods_dir=pods_dir), launcher.guest.uuid)

    # Another test may switch the kernel's count on for a while.
    holding = lambda one: ("cpu.iowait", "") not in one.values  # noqa: E731
    said = collected.sample(launcher.guest.uuid, Source.DELAYS, holding=holding)

    assert "sysctl kernel.task_delayacct=1" in said.unavailable["cpu.iowait"]
