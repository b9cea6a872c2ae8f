"""A plain host's libvirtd: many VMs on one connection."""

from lab.guests.host import HostLibvirt
from tests.integration.agent_collect.conftest import HANGS_S, PATIENT_S, Collect
from virtwatch_agent.observations import Appeared, ConnectionState, FoundStopped, Sample, TargetEvent, Vanished
from virtwatch_api.catalogue.readings import Source


def test_each_vm_has_its_own_tap_and_no_other(collect: Collect, bare_host: HostLibvirt) -> None:
    guests = [bare_host.add(f"tap-{number}", linux=False) for number in range(3)]
    collected = collect(host_socket=bare_host.socket)
    for guest in guests:
        values = collected.sample(guest.uuid, Source.KERNEL).values
        assert {device for key, device in values if key.startswith("network")} == {guest.domain.interface.tap}


def test_one_stuck_vm_does_not_hold_up_those_that_share_its_connection(
    collect: Collect, bare_host: HostLibvirt
) -> None:
    guests = [bare_host.add(f"shared-{number}", linux=False) for number in range(3)]
    collected = collect(host_socket=bare_host.socket, call_deadline=HANGS_S)
    for guest in guests:
        collected.sample(guest.uuid, Source.BLOCK)
    stuck, *others = guests
    stuck.freeze_qemu()
    try:
        collected.event(stuck.uuid, "vm.telemetry_stuck")
        since = collected.mark()
        for guest in others:
            collected.sample(guest.uuid, Source.BLOCK, since=since)
            collected.sample(guest.uuid, Source.BALLOON, since=since)
        assert not [
            one
            for one in collected.all[since:]
            if isinstance(one, Sample) and one.target.id == stuck.uuid and one.source is not Source.KERNEL
        ]
    finally:
        stuck.thaw_qemu()
    collected.event(stuck.uuid, "vm.telemetry_recovered")
    collected.sample(stuck.uuid, Source.BLOCK, since=collected.mark())
    assert [event.type for event in collected.events(stuck.uuid) if "telemetry" in event.type] == [
        "vm.telemetry_stuck",
        "vm.telemetry_recovered",
    ]
    assert not [event for guest in others for event in collected.events(guest.uuid) if "telemetry" in event.type]


def test_libvirtd_that_restarts_over_a_stuck_vm_shows_all_vms_again(collect: Collect, bare_host: HostLibvirt) -> None:
    stuck, well = (bare_host.add(name, linux=False) for name in ("over-stuck", "over-well"))
    collected = collect(host_socket=bare_host.socket, call_deadline=1.0)
    for guest in (stuck, well):
        collected.sample(guest.uuid, Source.BLOCK)
    stuck.freeze_qemu()
    try:
        collected.event(stuck.uuid, "vm.telemetry_stuck")
        since = collected.mark()
        bare_host.daemon.kill()
        bare_host.daemon.start()
        collected.connection(str(bare_host.socket), well=False, since=since)
        collected.connection(str(bare_host.socket), well=True, since=since)
        collected.sample(well.uuid, Source.BLOCK, since=collected.mark())
    finally:
        stuck.thaw_qemu()
    collected.event(stuck.uuid, "vm.telemetry_recovered")


def test_what_happened_while_libvirtd_was_down_is_inferred(collect: Collect, bare_host: HostLibvirt) -> None:
    killed, stays = (bare_host.add(name, linux=False) for name in ("gap-killed", "gap-stays"))
    collected = collect(host_socket=bare_host.socket, call_deadline=PATIENT_S)
    for guest in (killed, stays):
        collected.sample(guest.uuid, Source.KERNEL)
    since = collected.mark()
    bare_host.daemon.kill()
    killed.kill_qemu()
    bare_host.daemon.start()
    stopped = collected.event(killed.uuid, "vm.stopped", since=since)
    assert stopped.inferred
    collected.wait(
        lambda all_: next((one for one in all_ if isinstance(one, Vanished) and one.uuid == killed.uuid), None),
        "the killed VM to vanish",
    )
    assert collected.events(stays.uuid, since=since) == []
    problems = [one for one in collected.all[since:] if isinstance(one, ConnectionState)]
    assert [bool(one.problem) for one in problems] == [True, False]


def test_why_a_vm_stopped_before_anybody_looked_is_what_its_libvirt_still_knows(
    collect: Collect, bare_host: HostLibvirt
) -> None:
    crashed, ended, runs = (bare_host.add(f"before-{name}", linux=False) for name in ("crashed", "ended", "runs"))
    crashed.kill_qemu()
    crashed.wait_state("shut off", "crashed")  # libvirt itself notices later
    ended.destroy()
    collected = collect(host_socket=bare_host.socket)

    collected.appeared(runs.uuid)
    said = {one.uuid: one for one in collected.all if isinstance(one, FoundStopped)}

    assert (said[crashed.uuid].crashed, said[crashed.uuid].reason) == (True, "crashed")
    assert (said[ended.uuid].crashed, said[ended.uuid].reason) == (False, "destroyed")
    assert runs.uuid not in said
    assert said[ended.uuid].connection == collected.appeared(runs.uuid).domain.connection


def test_a_start_that_is_told_is_announced_with_the_vm(collect: Collect, bare_host: HostLibvirt) -> None:
    here = bare_host.add("start-here", linux=False)
    collected = collect(host_socket=bare_host.socket)
    assert not collected.appeared(here.uuid).started

    late = bare_host.add("start-late", linux=False)
    collected.event(late.uuid, "vm.started")

    told = [one for one in collected.all if isinstance(one, Appeared | TargetEvent)]
    first = next(one for one in told if isinstance(one, Appeared) and one.domain.uuid == late.uuid)
    assert first.started
