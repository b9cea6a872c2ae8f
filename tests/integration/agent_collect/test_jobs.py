"""Block jobs, backups and snapshots of a real QEMU, as events."""

import time
from collections.abc import Callable

import pytest

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.process import wait_for
from tests.integration.agent_collect.collected import Collected
from tests.integration.agent_collect.conftest import Collect
from virtwatch_agent.collect.libvirt import jobs as job_looks
from virtwatch_agent.observations import TargetEvent
from virtwatch_api.catalogue.readings import Source

MIB = 1 << 20
LATE_S = 10.0  # for which a busy machine may hold up a look: what it finds is told as of when it began


@pytest.fixture
def guest(bare_host: HostLibvirt) -> Guest:
    return bare_host.add("jobs", linux=False)


@pytest.fixture
def virsh(bare_host: HostLibvirt) -> Callable[..., str]:
    return bare_host.daemon.virsh


@pytest.fixture
def collected(collect: Collect, bare_host: HostLibvirt, guest: Guest) -> Collected:
    collected = collect(host_socket=bare_host.socket)
    collected.appeared(guest.uuid)
    snapshots = collected.collector._domains._snapshots
    wait_for(lambda: guest.uuid in snapshots._read_at, what="the first look for snapshots", deadline=60)
    return collected


def test_a_copy_is_told_when_it_has_caught_up_and_when_it_ends(collected: Collected, guest: Guest, virsh) -> None:
    virsh("blockcopy", guest.name, "vda", "--dest", f"{guest.domain.folder}/copy.img", "--transient-job")
    assert collected.event(guest.uuid, "vm.block_job_ready").attributes == {"device": "vda", "job": "copy"}
    virsh("blockjob", guest.name, "vda", "--pivot")
    assert collected.event(guest.uuid, "vm.block_job_completed").attributes == {"device": "vda", "job": "copy"}


def test_a_copy_without_room_is_told_to_have_failed(
    collected: Collected, bare_host: HostLibvirt, guest: Guest, virsh
) -> None:
    disk = bare_host.daemon.namespace.path(guest.domain.disk)
    disk.write_bytes(b"x" * 16 * MIB)  # its file system has 4 MiB left
    virsh("blockcopy", guest.name, "vda", "--dest", f"{guest.domain.disk.parent}/copy.img", "--transient-job")
    assert collected.event(guest.uuid, "vm.block_job_failed").attributes == {"device": "vda", "job": "copy"}


def test_a_snapshot_and_its_commit_are_told(collected: Collected, guest: Guest, virsh) -> None:
    where = f"vda,snapshot=external,file={guest.domain.folder}/overlay.qcow2"
    virsh("snapshot-create-as", guest.name, "before", "--disk-only", "--diskspec", where)
    created = collected.event(guest.uuid, "vm.snapshot_created")
    assert (created.attributes, created.inferred) == ({"snapshot": "before"}, True)
    virsh("blockcommit", guest.name, "vda", "--active", "--pivot", "--wait")
    assert collected.event(guest.uuid, "vm.block_job_completed").attributes == {"device": "vda", "job": "active_commit"}
    virsh("snapshot-delete", guest.name, "before", "--metadata")
    assert collected.event(guest.uuid, "vm.snapshot_deleted").attributes == {"snapshot": "before"}


def test_a_backup_is_told_when_it_is_complete(collected: Collected, guest: Guest, virsh) -> None:
    virsh("backup-begin", guest.name)
    assert collected.event(guest.uuid, "vm.backup_completed").attributes == {}
    assert not [event for event in collected.events(guest.uuid) if "block_job" in event.type]


def test_jobs_that_run_are_told_when_they_start_each_time(
    collected: Collected, bare_host: HostLibvirt, guest: Guest, virsh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_looks, "_MISSED", 100)  # looks come here sooner than a busy machine reports a job's end
    bare_host.daemon.namespace.path(guest.domain.disk).write_bytes(b"x" * 16 * MIB)  # to be copied at 1 MiB/s
    look_for_jobs(collected, guest, every=0.3)
    for _ in range(2):
        before, begun = collected.mark(), time.time()
        start_copy(guest, virsh, "--bandwidth", "1")
        started = collected.event(guest.uuid, "vm.block_job_started", since=before)
        assert (started.attributes, started.inferred) == ({"device": "vda", "job": "copy"}, True)
        virsh("blockjob", guest.name, "vda", "--abort")
        collected.event(guest.uuid, "vm.block_job_canceled", since=before)

        began = time.time()
        start_backup(guest, virsh)
        started = collected.event(guest.uuid, "vm.backup_started", since=before)
        assert (started.attributes, started.inferred) == ({}, True)
        virsh("domjobabort", guest.name)
        collected.event(guest.uuid, "vm.backup_completed", since=before)

        told = jobs(collected, guest, since=before)
        assert [one.type.removeprefix("vm.") for one in told] == [
            "block_job_started",
            "block_job_canceled",
            "backup_started",
            "backup_completed",
        ]
        assert begun - LATE_S < told[0].at < told[1].at < began
        assert began - LATE_S < started.at < told[-1].at


def test_a_job_between_two_looks_is_told_when_it_starts_too(collected: Collected, guest: Guest, virsh) -> None:
    look_for_jobs(collected, guest, every=3600.0)
    before, begun = collected.mark(), time.time()
    virsh("backup-begin", guest.name)
    ended = collected.event(guest.uuid, "vm.backup_completed")
    start_copy(guest, virsh, "--wait", "--pivot")
    collected.event(guest.uuid, "vm.block_job_completed")

    told = jobs(collected, guest, since=before)
    assert [one.type.removeprefix("vm.") for one in told] == [
        "backup_started",
        "backup_completed",
        "block_job_started",
        "block_job_ready",
        "block_job_completed",
    ]
    assert begun < told[0].at < ended.at < told[2].at < told[3].at


def test_no_start_is_told_where_nobody_asks(collected: Collected, guest: Guest, virsh) -> None:
    start_copy(guest, virsh)
    collected.event(guest.uuid, "vm.block_job_ready")
    look_for_jobs(collected, guest, every=0.3)
    time.sleep(1.0)  # some looks
    virsh("blockjob", guest.name, "vda", "--pivot")  # it ran when somebody began to ask
    collected.event(guest.uuid, "vm.block_job_completed")

    collected.ask(guest.uuid, Source.BLOCK)  # and no more
    virsh("backup-begin", guest.name)
    collected.event(guest.uuid, "vm.backup_completed")
    assert [one.type for one in jobs(collected, guest)] == [
        "vm.block_job_ready",
        "vm.block_job_completed",
        "vm.backup_completed",
    ]


def look_for_jobs(collected: Collected, guest: Guest, *, every: float) -> None:
    """Ask for jobs as a plan does, and return after the first look."""
    before = collected.mark()
    collected.ask(guest.uuid, Source.BLOCK_JOBS, Source.ERRORS, every=every)  # that of jobs gives no sample of its own
    collected.sample(guest.uuid, Source.ERRORS, since=before)


def start_copy(guest: Guest, virsh: Callable[..., str], *options: str) -> None:
    copy = f"{guest.domain.folder}/{time.time_ns()}.img"
    virsh("blockcopy", guest.name, "vda", "--dest", copy, "--transient-job", *options)


def start_backup(guest: Guest, virsh: Callable[..., str]) -> None:
    """Begin a backup that lasts until it is aborted: somebody else is to pull it."""
    folder = guest.domain.folder
    pulled = f"""
      <domainbackup mode='pull'>
        <server transport='unix' socket='{folder}/nbd.sock'/>
        <disks><disk name='vda' type='file'><scratch file='{folder}/{time.time_ns()}'/></disk></disks>
      </domainbackup>"""
    virsh("backup-begin", guest.name, "--backupxml", "/dev/stdin", stdin=pulled)


def jobs(collected: Collected, guest: Guest, *, since: int = 0) -> list[TargetEvent]:
    return [one for one in collected.events(guest.uuid, since=since) if "_job_" in one.type or "backup" in one.type]


def test_the_dirty_rate_is_there_once_somebody_measures_it(collected: Collected, guest: Guest, virsh) -> None:
    collected.ask(guest.uuid, Source.DIRTY_RATE)
    assert collected.sample(guest.uuid, Source.DIRTY_RATE).unavailable.keys() == {"memory.dirty.rate"}
    virsh("domdirtyrate-calc", guest.name, "--seconds", "1")
    measured = collected.sample(guest.uuid, Source.DIRTY_RATE, holding=lambda one: bool(one.values))
    assert measured.values.keys() == {("memory.dirty.rate", "")}
