"""Block jobs, backups and snapshots of a real QEMU, as events."""

from collections.abc import Callable

import pytest

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from tests.integration.agent_collect.collected import Collected
from tests.integration.agent_collect.conftest import Collect
from virtwatch_api.catalogue.readings import Source

MIB = 1 << 20


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


def test_the_dirty_rate_is_there_once_somebody_measures_it(collected: Collected, guest: Guest, virsh) -> None:
    collected.ask(guest.uuid, Source.DIRTY_RATE)
    assert collected.sample(guest.uuid, Source.DIRTY_RATE).unavailable.keys() == {"memory.dirty.rate"}
    virsh("domdirtyrate-calc", guest.name, "--seconds", "1")
    measured = collected.sample(guest.uuid, Source.DIRTY_RATE, holding=lambda one: bool(one.values))
    assert measured.values.keys() == {("memory.dirty.rate", "")}
