"""Guests that run Linux: real load, real faults, in the agent's words."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from tests.integration.agent_collect.collected import Collected
from tests.integration.agent_collect.conftest import PATIENT_S, Collect
from virtwatch_agent.collect.libvirt import debounce, monitor_queue
from virtwatch_agent.collect.libvirt.monitor import ask
from virtwatch_agent.observations import Appeared, Domain, DomainState, Sample
from virtwatch_api.catalogue.readings import READING, Source


def grown(collected: Collected, guest: Guest, source: Source, key: str, device: str, by: float) -> Sample:
    """Wait until a counter has grown by that much since now."""
    before = collected.sample(guest.uuid, source, since=collected.mark())
    start = before.values[key, device]
    return collected.sample(
        guest.uuid,
        source,
        since=collected.mark(),
        holding=lambda sample: sample.incarnation == before.incarnation and sample.values[key, device] >= start + by,
    )


def state_of(collected: Collected, guest: Guest) -> Domain:
    appeared = [one for one in collected.all if isinstance(one, Appeared) and one.domain.uuid == guest.uuid]
    return appeared[-1].domain


def test_every_reading_of_the_catalogue_is_there(collect: Collect, linux_launcher: Launcher, pods_dir: Path) -> None:
    collected = collect(pods_dir=pods_dir)
    for source in (Source.KERNEL, Source.BLOCK, Source.BALLOON):
        wanted = {key for key, reading in READING.items() if reading.source is source}
        collected.sample(
            linux_launcher.guest.uuid,
            source,
            holding=lambda sample, wanted=wanted: {key for key, _ in sample.values} == wanted,
        )


def test_load_shows_in_the_readings(collect: Collect, linux_launcher: Launcher, pods_dir: Path) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir)
    guest.busy(cpu=True, disk=True)
    grown(collected, guest, Source.KERNEL, "cpu.time", "0", 0.5)
    grown(collected, guest, Source.KERNEL, "cpu.delay", "0", 0.001)
    grown(collected, guest, Source.BLOCK, "disk.write.bytes", "vda", 1 << 20)
    grown(collected, guest, Source.BLOCK, "disk.read.operations", "vda", 10)
    grown(collected, guest, Source.BLOCK, "disk.write.time", "vda", 1e-6)


def test_what_the_guest_sends_is_transmitted_and_what_it_gets_is_received(
    collect: Collect, linux_launcher: Launcher, pods_dir: Path
) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir)
    guest.busy(net=True)
    end = grown(collected, guest, Source.KERNEL, "network.transmit.packets", "tap0", 50)
    # A ping and its answer have one size; the tap is the guest's own end of nothing else.
    sent, got = (end.values[f"network.{way}.bytes", "tap0"] for way in ("transmit", "receive"))
    assert 0.5 < sent / got < 2


def test_direction_is_libvirts_own(collect: Collect, linux_host: HostLibvirt) -> None:
    """libvirt counts as the guest does, whatever the host's end says."""
    guest, *_ = linux_host.guests
    collected = collect(host_socket=linux_host.socket)
    tap = guest.domain.interface.tap
    values = collected.sample(guest.uuid, Source.KERNEL).values
    said = linux_host.daemon.virsh("domifstat", guest.name, tap)
    figures = {line.split()[1]: int(line.split()[2]) for line in said.splitlines() if len(line.split()) == 3}
    assert set(figures) >= {"rx_bytes", "tx_bytes"}
    host = Path(f"/sys/class/net/{tap}/statistics")
    assert values["network.transmit.bytes", tap] <= int((host / "rx_bytes").read_text())
    assert values["network.receive.bytes", tap] <= int((host / "tx_bytes").read_text())


def test_memory_that_the_guest_uses_is_not_usable(collect: Collect, linux_launcher: Launcher, pods_dir: Path) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir)

    def usable() -> float:
        sample = collected.sample(
            guest.uuid, Source.BALLOON, since=collected.mark(), holding=lambda one: ("memory.usable", "") in one.values
        )
        assert sample.values["memory.guest.age", ""] < 60
        return sample.values["memory.usable", ""]

    before = usable()
    guest.busy(memory=True)
    collected.sample(
        guest.uuid,
        Source.BALLOON,
        since=collected.mark(),
        holding=lambda one: one.values.get(("memory.usable", ""), before) < before - (16 << 20),
    )


@pytest.mark.usefixtures("unconfirmed")
def test_a_full_disk_pauses_the_vm_and_is_told_once(collect: Collect, linux_launcher: Launcher, pods_dir: Path) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir, call_deadline=PATIENT_S)
    collected.appeared(guest.uuid)
    for _ in range(2):  # each time it happens it is told
        since = collected.mark()
        guest.fill_disk()
        error = collected.event(guest.uuid, "vm.io_error", since=since)
        assert error.attributes == {"action": "pause", "reason": "enospc", "device": "vda"}
        assert collected.event(guest.uuid, "vm.paused", since=since).attributes == {"reason": "ioerror"}
        guest.free_disk()
        guest.resume()
        collected.event(guest.uuid, "vm.resumed", since=since)
        told = [event.type for event in collected.events(guest.uuid, since=since)]
        assert sorted(told) == ["vm.io_error", "vm.paused", "vm.resumed"]


def test_an_io_error_that_happens_while_libvirt_is_down_is_inferred(
    collect: Collect, linux_launcher: Launcher, pods_dir: Path
) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir)
    collected.sample(guest.uuid, Source.KERNEL)
    since = collected.mark()
    linux_launcher.daemon.kill()
    guest.fill_disk()
    linux_launcher.daemon.start()
    error = collected.event(guest.uuid, "vm.io_error", since=since)
    assert error.attributes["action"] == "pause"
    collected.event(guest.uuid, "vm.paused", since=since)
    guest.free_disk()
    guest.resume()
    collected.event(guest.uuid, "vm.resumed", since=since)
    assert [event.type for event in collected.events(guest.uuid, since=since)].count("vm.io_error") == 1


def test_a_reboot_is_told_once(
    collect: Collect, linux_launcher: Launcher, pods_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debounce, "_REBOOT_REPEATS", PATIENT_S)  # they take as much longer as the guest does
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir, call_deadline=PATIENT_S)
    before = collected.appeared(guest.uuid).domain
    guest.reboot()
    collected.event(guest.uuid, "vm.rebooted")
    guest.wait_ready()  # libvirt's repeats have come by then
    assert [event.type for event in collected.events(guest.uuid)] == ["vm.rebooted"]
    assert state_of(collected, guest).incarnation == before.incarnation


def test_a_watchdog_that_is_not_fed_is_told_with_what_qemu_did(
    collect: Collect, linux_launcher: Launcher, pods_dir: Path
) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir)
    collected.appeared(guest.uuid)
    guest.starve_watchdog()
    assert collected.event(guest.uuid, "vm.watchdog").attributes == {"action": "reset"}
    collected.event(guest.uuid, "vm.rebooted")
    guest.wait_ready()


def test_a_panic_is_a_crash_and_the_vm_stays_there_crashed(
    collect: Collect, linux_launcher: Launcher, pods_dir: Path
) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir)
    collected.appeared(guest.uuid)
    guest.crash()
    assert collected.event(guest.uuid, "vm.crashed").attributes == {"reason": "panicked"}
    assert state_of(collected, guest).state is DomainState.CRASHED
    collected.sample(guest.uuid, Source.KERNEL, since=collected.mark())
    since = collected.mark()
    guest.destroy()
    assert collected.event(guest.uuid, "vm.stopped").attributes == {"reason": "destroyed"}
    assert "vm.crashed" not in [event.type for event in collected.events(guest.uuid, since=since)]


def test_a_guest_that_powers_off_stops_without_a_crash(
    collect: Collect, linux_launcher: Launcher, pods_dir: Path
) -> None:
    guest = linux_launcher.guest
    collected = collect(pods_dir=pods_dir)
    before = collected.appeared(guest.uuid).domain
    guest.poweroff()
    assert collected.event(guest.uuid, "vm.stopped").attributes == {"reason": "shutdown"}
    since = collected.mark()
    guest.start()
    collected.event(guest.uuid, "vm.started", since=since)
    assert collected.appeared(guest.uuid, since=since).domain.incarnation != before.incarnation
    fresh = collected.sample(guest.uuid, Source.KERNEL, since=since)
    assert fresh.incarnation == state_of(collected, guest).incarnation
    assert [event.type for event in collected.events(guest.uuid)].count("vm.crashed") == 0
    guest.wait_ready()


def test_samples_of_one_vm_move_forward(collect: Collect, linux_host: HostLibvirt) -> None:
    guest, *_ = linux_host.guests
    collected = collect(host_socket=linux_host.socket)

    def kernel() -> list[Sample]:
        return [one for one in collected.all if isinstance(one, Sample) and one.source is Source.KERNEL]

    collected.wait(lambda _: len(kernel()) >= 5, "five samples")
    assert guest.uuid in {one.target.id for one in kernel()}
    for earlier, later in pairwise(one for one in kernel() if one.target.id == guest.uuid):
        assert later.clock > earlier.clock
        assert later.values["cpu.time", "0"] >= earlier.values["cpu.time", "0"]


def test_a_guest_that_is_asked_for_no_reports_soon_has_no_figures(collect: Collect, linux_host: HostLibvirt) -> None:
    """libvirt still shows the last ones, as fresh as ever."""
    guest, *_ = linux_host.guests
    collected = collect(host_socket=linux_host.socket)
    usable = ("memory.usable", "")
    collected.sample(guest.uuid, Source.BALLOON, holding=lambda one: usable in one.values)
    try:
        linux_host.daemon.virsh("dommemstat", guest.name, "--period", "0", "--live")
        collected.sample(
            guest.uuid, Source.BALLOON, since=collected.mark(), holding=lambda one: usable not in one.values
        )
        assert "usable" in linux_host.daemon.virsh("dommemstat", guest.name)
    finally:
        linux_host.daemon.virsh("dommemstat", guest.name, "--period", "1", "--live")
    collected.sample(guest.uuid, Source.BALLOON, since=collected.mark(), holding=lambda one: usable in one.values)


def test_figures_of_disks_in_bursts_are_qemus_own(
    collect: Collect, linux_host: HostLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While no thread for its disk runs, QEMU is not asked, and what is said of the disk is true all the same."""
    guest, *_ = linux_host.guests
    uuid, key = guest.uuid, ("disk.write.operations", "vda")
    questions: list[bool] = []  # whether each was one for figures of disks

    def asked(connection: Any, domains: Any, sources: frozenset[Source], clock: Any) -> Any:
        if uuid in domains:
            questions.append(Source.BLOCK in sources)
        return ask(connection, domains, sources, clock)

    monkeypatch.setattr(monitor_queue, "ask", asked)
    collected = collect(host_socket=linux_host.socket)

    def written() -> int:
        said = linux_host.daemon.virsh("domblkstat", guest.name, "vda")
        return next(int(line.split()[2]) for line in said.splitlines() if line.split()[1] == "wr_req")

    def is_quiet(_: object) -> bool:
        return len(questions) > 4 and not any(questions[-4:])

    for _ in range(3):
        before = written()
        guest.busy(disk=True)
        collected.sample(uuid, Source.BLOCK, holding=lambda one, least=before: one.values[key] > least + 20)
        guest.calm("disk")
        collected.wait(is_quiet, "QEMU to be asked for no disks")
        earlier, since = written(), collected.mark()
        said = collected.sample(uuid, Source.BLOCK, since=since)
        assert earlier <= said.values[key] <= written()

    samples = [one for one in collected.all if isinstance(one, Sample) and one.source is Source.BLOCK]
    mine = [one for one in samples if one.target.id == uuid]
    assert len({one.started for one in mine}) == len({one.incarnation for one in mine}) == 1
    for one, other in pairwise(mine):
        assert other.clock > one.clock
        assert all(other.values[series] >= value for series, value in one.values.items() if "write" in series[0])
    assert len(mine) > sum(questions), "what QEMU was not asked for is told all the same"
