from pathlib import Path

from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.storage_places import storage_places
from virtwatch_agent.observations import Disk

MOUNTS = """21 1 0:20 / / rw - ext4 /dev/vda rw
35 21 0:41 / /mnt/nfs rw - nfs4 nas:/vms rw
36 21 0:42 / /mnt/two\\040words rw - nfs4 nas:/other rw
"""


def on(*disks: Disk, process: Path | None = None) -> frozenset[str]:
    return storage_places(Devices(places=disks), process)


def test_a_disk_lies_on_the_file_system_that_its_qemu_sees(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)

    disks = [Disk("vda", path=f"/mnt/{path}/vm-1/disk.img") for path in ("nfs", "two words", "nfs2")]

    assert on(*disks, process=tmp_path) == {"/mnt/nfs", "/mnt/two words", "/"}


def test_block_devices_of_two_volume_groups_share_no_storage(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS + "37 21 0:5 / /dev rw - devtmpfs udev rw\n")

    disks = [Disk("vda", path="/dev/vgA/x"), Disk("vdb", path="/dev/vgB/y")]

    assert on(*disks, process=tmp_path) == {"/dev/vgA", "/dev/vgB"}


def test_a_disk_of_a_pool_lies_there() -> None:
    assert on(Disk("vda", pool="images", path="/x/y"), Disk("vdb")) == {"pool images"}


def test_where_no_process_is_seen_the_folder_counts(tmp_path: Path) -> None:
    disk = Disk("vda", path="/mnt/nfs/disk.img")

    assert on(disk) == {"/mnt/nfs"}
    assert on(disk, process=tmp_path) == {"/mnt/nfs"}  # it has gone
