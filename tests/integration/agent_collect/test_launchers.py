"""KubeVirt-shaped pods: sockets that come and go, QEMUs of their own."""

import shutil
import time
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from lab.process import wait_for
from tests.integration.agent_collect import collected as plans
from tests.integration.agent_collect.conftest import HANGS_S, PATIENT_S, Collect
from tests.integration.guest_fixtures import MakeLauncher
from virtwatch_agent.collect.libvirt import domains, endpoints
from virtwatch_agent.collect.libvirt.connection import Keepalive
from virtwatch_agent.inventory.oom import OomKills
from virtwatch_agent.observations import Appeared, ConnectionState, DomainState, Sample, Vanished
from virtwatch_api.catalogue.readings import READING, Source

QUICK = Keepalive(interval=1, count=2)


def test_a_pod_is_found_and_its_vm_is_sampled_from_its_process(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "found")
    collected = collect(pods_dir=pods_dir)
    domain = collected.appeared(launcher.guest.uuid).domain
    assert (domain.name, domain.pod_uid) == ("shop_found", launcher.pod_uid)
    assert domain.state is DomainState.PAUSED
    assert domain.incarnation.startswith(f"{launcher.guest.qemu_pid}-")
    sample = collected.sample(domain.uuid, Source.KERNEL)
    assert sample.values["cpu.count", ""] == 1
    assert sample.values["memory.rss", ""] > 10 << 20
    wanted = {key for key, reading in READING.items() if reading.source is Source.KERNEL}
    assert {key for key, _ in sample.values} == wanted
    assert {device for key, device in sample.values if key.startswith("network")} == {"tap0"}
    assert abs(sample.started - time.time()) < 60


def test_a_bare_guest_has_disk_figures_and_no_memory_figures_of_its_own(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "bare")
    collected = collect(pods_dir=pods_dir)
    block = collected.sample(launcher.guest.uuid, Source.BLOCK)
    assert block.values["disk.capacity", "vda"] == 16 << 20
    balloon = collected.sample(launcher.guest.uuid, Source.BALLOON)
    assert {key for key, _ in balloon.values} == {"memory.balloon", "memory.maximum"}


def test_a_pod_that_comes_is_noticed_and_its_start_is_told(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    collected = collect(pods_dir=pods_dir)
    launcher = make_launcher("shop", "comes")
    started = collected.event(launcher.guest.uuid, "vm.started")
    collected.connection(f"pod/{launcher.pod_uid}", well=True)
    assert collected.events(started.target.id)[0] == started


def test_a_pod_that_goes_takes_its_vm_along_without_complaint(
    collect: Collect,
    make_launcher: MakeLauncher,
    pods_dir: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoints, "_POD_ENDS", PATIENT_S)  # its QEMU ends a moment after its libvirt
    launcher = make_launcher("shop", "goes")
    collected = collect(pods_dir=pods_dir, call_deadline=PATIENT_S)
    uuid = launcher.guest.uuid
    collected.sample(uuid, Source.KERNEL)
    launcher.stop()
    vanished = collected.wait(
        lambda all_: next((one for one in all_ if isinstance(one, Vanished) and one.uuid == uuid), None), "it to vanish"
    )
    collected.connection(f"pod/{launcher.pod_uid}", closed=True)
    assert vanished.reason == "lost"
    assert collected.event(uuid, "vm.stopped").inferred
    assert not [one for one in collected.all if isinstance(one, ConnectionState) and one.problem]
    assert [record for record in caplog.records if record.levelno >= 30] == []


def test_a_pod_whose_vm_was_stopped_first_is_told_as_a_stop(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "stopped")
    collected = collect(pods_dir=pods_dir)
    uuid = launcher.guest.uuid
    collected.appeared(uuid)
    launcher.guest.destroy()
    stopped = collected.event(uuid, "vm.stopped")
    assert (stopped.attributes, stopped.inferred) == ({"reason": "destroyed"}, False)
    launcher.stop()
    collected.connection(f"pod/{launcher.pod_uid}", closed=True)
    assert [event.type for event in collected.events(uuid)].count("vm.stopped") == 1


def test_a_killed_qemu_is_a_crash_and_its_vm_vanishes(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OomKills, "recent", lambda _: False)  # another test may have the kernel kill meanwhile
    guest = make_launcher("shop", "killed").guest
    collected = collect(pods_dir=pods_dir, call_deadline=PATIENT_S)
    collected.appeared(guest.uuid)
    guest.kill_qemu()
    collected.wait(
        lambda all_: next((one for one in all_ if isinstance(one, Vanished) and one.reason == "failed"), None),
        "it to vanish",
    )
    told = [(event.type, event.attributes) for event in collected.events(guest.uuid)]
    assert told == [
        ("vm.crashed", {"reason": "failed", "cause": "qemu_exit"}),
        ("vm.stopped", {"reason": "failed", "cause": "qemu_exit"}),
    ]


def test_the_left_over_socket_of_an_ended_pod_is_no_problem(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path, tmp_path: Path
) -> None:
    launcher = make_launcher("shop", "leftover")
    launcher.guest.destroy()
    launcher.daemon.kill()
    collected = collect(pods_dir=pods_dir)
    name = f"pod/{launcher.pod_uid}"
    collected.connection(name, closed=True)
    launcher.daemon.start()
    collected.connection(name, well=True, closed=False)


def test_a_link_that_leads_out_of_the_pods_folder_is_not_followed(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "victim")
    thief = (
        pods_dir / "11111111-2222-3333-4444-555555555555" / "volumes" / "kubernetes.io~empty-dir" / "libvirt-runtime"
    )
    thief.mkdir(parents=True)
    try:
        (thief / "virtqemud-sock").symlink_to(launcher.socket)
        collected = collect(pods_dir=pods_dir)
        collected.appeared(launcher.guest.uuid)
        assert "pod/11111111-2222-3333-4444-555555555555" not in {
            one.connection for one in collected.all if isinstance(one, ConnectionState)
        }
    finally:
        shutil.rmtree(thief.parents[2])


def test_one_stuck_vm_is_told_once_with_its_reason_and_the_others_go_on(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    stuck, well = make_launcher("shop", "stuck"), make_launcher("shop", "well")
    collected = collect(pods_dir=pods_dir, call_deadline=HANGS_S)
    for launcher in (stuck, well):
        collected.sample(launcher.guest.uuid, Source.BLOCK)
    stuck.guest.freeze_qemu()
    try:
        told = collected.event(stuck.guest.uuid, "vm.telemetry_stuck")
        assert told.attributes["reason"].startswith("a monitor call has been pending for ")
        since = collected.mark()
        for _ in range(5):  # long enough for a second look at the stuck one
            collected.sample(well.guest.uuid, Source.BLOCK, since=since)
            collected.sample(stuck.guest.uuid, Source.KERNEL, since=since)
            since = collected.mark()
    finally:
        stuck.guest.thaw_qemu()
    collected.event(stuck.guest.uuid, "vm.telemetry_recovered")
    collected.sample(stuck.guest.uuid, Source.BLOCK, since=collected.mark())
    told_of = [event.type for event in collected.events(stuck.guest.uuid) if "telemetry" in event.type]
    assert told_of == ["vm.telemetry_stuck", "vm.telemetry_recovered"]
    assert not [event for event in collected.events(well.guest.uuid) if "telemetry" in event.type]


def test_a_stopped_qemu_is_reported_where_no_monitor_is_asked(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "OFTEN", {Source.KERNEL: 2.0})
    stopped, well = make_launcher("shop", "stopped-qemu"), make_launcher("shop", "well-qemu")
    collected = collect(pods_dir=pods_dir, call_deadline=1.0)
    for launcher in (stopped, well):
        collected.sample(launcher.guest.uuid, Source.KERNEL)
    since = collected.mark()
    began = time.monotonic()
    stopped.guest.freeze_qemu()
    try:
        told = collected.event(stopped.guest.uuid, "vm.telemetry_stuck", since=since)
        assert time.monotonic() - began <= 10.0  # two intervals, and what a busy machine needs
        assert told.attributes["reason"].startswith("its QEMU has been stopped (SIGSTOP) for ")
    finally:
        stopped.guest.thaw_qemu()
    collected.event(stopped.guest.uuid, "vm.telemetry_recovered", since=since)
    collected.sample(well.guest.uuid, Source.KERNEL, since=collected.mark())
    for launcher in (stopped, well):
        found = [event.type for event in collected.events(launcher.guest.uuid, since=since)]
        assert found == (["vm.telemetry_stuck", "vm.telemetry_recovered"] if launcher is stopped else [])


def test_a_killed_virtqemud_is_found_again_and_what_was_missed_is_inferred(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "daemon-killed")
    collected = collect(pods_dir=pods_dir, call_deadline=PATIENT_S)
    uuid, name = launcher.guest.uuid, f"pod/{launcher.pod_uid}"
    before = collected.appeared(uuid).domain
    launcher.daemon.kill()
    since = collected.mark()
    collected.connection(name, well=False)
    collected.sample(uuid, Source.KERNEL, since=since)  # the kernel still tells
    launcher.daemon.start()
    collected.connection(name, well=True, since=since)
    again = collected.appeared(uuid, since=since).domain
    assert again.incarnation == before.incarnation
    assert collected.events(uuid, since=since) == []
    launcher.daemon.kill()
    launcher.daemon.start()
    since = collected.mark()
    launcher.guest.resume()
    resumed = collected.event(uuid, "vm.resumed", since=since)
    launcher.guest.pause()
    collected.event(uuid, "vm.paused", since=since)
    assert [event.type for event in collected.events(uuid, since=since)] == [resumed.type, "vm.paused"]


def test_a_qemu_that_dies_while_nobody_listens_is_told_when_libvirt_is_back(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "both-killed")
    collected = collect(pods_dir=pods_dir)
    uuid = launcher.guest.uuid
    collected.sample(uuid, Source.KERNEL)
    launcher.daemon.kill()
    launcher.guest.kill_qemu()
    launcher.daemon.start()
    stopped = collected.event(uuid, "vm.stopped")
    assert stopped.inferred
    launcher.guest.wait_state("shut off", "crashed")  # libvirt itself notices later
    since = collected.mark()
    launcher.guest.start()
    collected.event(uuid, "vm.started", since=since)
    assert collected.appeared(uuid, since=since).domain.incarnation.startswith(f"{launcher.guest.qemu_pid}-")


def test_a_stopped_virtqemud_is_a_problem_of_that_pod_alone(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    silent, well = make_launcher("shop", "silent"), make_launcher("shop", "answers")
    collected = collect(pods_dir=pods_dir, call_deadline=1.0, keepalive=QUICK)
    for launcher in (silent, well):
        collected.sample(launcher.guest.uuid, Source.BLOCK)
    silent.daemon.freeze()
    try:
        name = f"pod/{silent.pod_uid}"
        assert name in collected.connection(name, well=False).problem
        since = collected.mark()
        collected.sample(well.guest.uuid, Source.BLOCK, since=since)
        collected.sample(silent.guest.uuid, Source.KERNEL, since=since)
    finally:
        silent.daemon.thaw()
    collected.connection(name, well=True, since=since)
    collected.sample(silent.guest.uuid, Source.BLOCK, since=collected.mark())


def test_stopping_takes_no_longer_because_calls_hang(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    frozen = make_launcher("shop", "frozen")
    collected = collect(pods_dir=pods_dir, call_deadline=1.0)
    collected.sample(frozen.guest.uuid, Source.BLOCK)
    frozen.daemon.freeze()
    try:
        collected.connection(f"pod/{frozen.pod_uid}", well=False)
        collected.stop()  # which asserts how long it takes
        since = collected.mark()
    finally:
        frozen.daemon.thaw()
    frozen.guest.resume()
    assert collected.mark() == since


def test_connections_that_come_and_go_leave_no_descriptor(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    launcher = make_launcher("shop", "flaps")
    collected = collect(pods_dir=pods_dir)
    uuid = launcher.guest.uuid

    def flap() -> int:
        since = collected.mark()
        launcher.daemon.kill()
        launcher.daemon.start()
        collected.appeared(uuid, since=since)
        collected.sample(uuid, Source.BLOCK, since=collected.mark())
        return open_descriptors()

    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    flap()
    before = flap()
    for _ in range(5):
        flap()
    wait_for(lambda: open_descriptors() <= before, what="the old connections to be closed", deadline=30)


def test_pods_and_a_host_are_watched_at_once(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path, bare_host: HostLibvirt
) -> None:
    launcher, guest = make_launcher("shop", "beside"), bare_host.add("plain", linux=False)
    collected = collect(pods_dir=pods_dir, host_socket=bare_host.socket, uris=(bare_host.uri,))
    for uuid, pod in ((launcher.guest.uuid, launcher.pod_uid), (guest.uuid, None)):
        assert collected.appeared(uuid).domain.pod_uid == pod
        collected.sample(uuid, Source.KERNEL)
        collected.sample(uuid, Source.BLOCK)
    collected.connection(bare_host.uri, well=True)
    # The URI leads to the host's own libvirt again: its VM is told once.
    of_guest = {one.incarnation for one in collected.all if isinstance(one, Sample) and one.target.id == guest.uuid}
    assert len(of_guest) == 1


def test_a_vm_with_another_ones_uuid_is_named_and_watched_as_soon_as_it_can_be(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path
) -> None:
    first = make_launcher("prod", "web")
    uuid = first.guest.uuid
    collected = collect(pods_dir=pods_dir)
    assert collected.appeared(uuid).domain.name == "prod_web"

    second = make_launcher("dev", "web", domain_uuid=uuid)
    hidden = collected.unwatched(f"pod/{second.pod_uid}", well=False)
    assert "VM dev_web has the domain UUID of prod_web" in hidden.problem
    collected.connection(f"pod/{second.pod_uid}", well=True)

    mark = collected.mark()
    first.stop()
    collected.unwatched(f"pod/{second.pod_uid}", since=mark, well=True)
    collected.wait(
        lambda all_: any(isinstance(one, Appeared) and one.domain.name == "dev_web" for one in all_),
        "the second VM to appear",
        since=mark,
    )


def test_a_vm_that_runs_in_two_pods_is_named_and_watched_in_the_new_one_when_the_old_ones_libvirt_is_dead(
    collect: Collect, make_launcher: MakeLauncher, pods_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "_OVERLAP", 1.0)
    old = make_launcher("shop", "twice")
    collected = collect(pods_dir=pods_dir)
    assert collected.appeared(old.guest.uuid).domain.pod_uid == old.pod_uid

    new = make_launcher("shop", "twice")
    hidden = collected.unwatched(f"pod/{new.pod_uid}", well=False)
    assert f"is not watched in pod {new.pod_uid}" in hidden.problem

    mark = collected.mark()
    old.daemon.kill()  # its QEMU lives on
    collected.unwatched(f"pod/{new.pod_uid}", since=mark, well=True)
    collected.wait(
        lambda all_: any(isinstance(one, Appeared) and one.domain.pod_uid == new.pod_uid for one in all_),
        "the VM to appear in its new pod",
        since=mark,
    )
    sample = collected.sample(new.guest.uuid, Source.KERNEL, since=collected.mark())
    assert sample.incarnation.startswith(f"{new.guest.qemu_pid}-")
