import pytest

from virtwatch_agent.collect.kernel.reader import Nic
from virtwatch_agent.collect.libvirt.devices import parse_devices
from virtwatch_agent.observations import Disk

XML = """
<domain><devices>
  <disk type='file' device='disk'><target dev='vda' bus='virtio'/><alias name='ua-rootdisk'/></disk>
  <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
  <interface type='ethernet'><target dev='tap0' managed='no'/><alias name='ua-default'/></interface>
  <interface type='direct'><source dev='eth0' mode='bridge'/><target dev='macvtap3'/></interface>
  <interface type='user'><model type='virtio'/></interface>
</devices></domain>"""


def test_nics_are_those_with_an_end_on_the_host():
    assert parse_devices(XML).nics == (Nic("tap0", host_view=False), Nic("macvtap3", host_view=True))


def test_disks_are_known_by_target_and_by_alias():
    devices = parse_devices(XML)
    assert devices.disks == ("vda", "sda")
    assert devices.disk_of_alias == {"ua-rootdisk": "vda"}


def test_a_disk_lies_in_a_named_pool_or_at_a_path():
    devices = parse_devices(
        "<domain><devices>"
        "<disk type='file'><source file='/images/a.qcow2'/><target dev='vda'/></disk>"
        "<disk type='file' device='cdrom'><source file='/isos/setup.iso'/><target dev='sda'/></disk>"
        "<disk type='file' device='disk'><target dev='vdz'/></disk>"
        "<disk type='block' device='lun'><source dev='/dev/vg/b'/><target dev='sdb'/></disk>"
        "<disk type='volume'><source pool='images' volume='c'/><target dev='vdc'/></disk>"
        "<disk type='network'><source protocol='rbd' name='kube/d'/><target dev='vdd'/></disk>"
        "</devices></domain>"
    )
    assert devices.places == (
        Disk("vda", path="/images/a.qcow2"),
        Disk("sdb", path="/dev/vg/b"),
        Disk("vdc", pool="images"),
        Disk("vdd", path="rbd:kube/d"),
    )


def test_text_that_is_no_xml_is_named_as_such():
    with pytest.raises(ValueError, match="XML cannot be read"):
        parse_devices("<domain>")


def test_volumes_and_the_guests_report_period_are_known():
    devices = parse_devices(
        "<domain><devices>"
        "<disk type='block' device='disk'><driver name='qemu' type='qcow2'/><source dev='/dev/pvc'/><target dev='vdb'/>"
        "</disk><disk type='block'><driver name='qemu' type='raw'/><source dev='/dev/raw'/><target dev='vdc'/></disk>"
        "<memballoon model='virtio'><stats period='10'/></memballoon></devices></domain>"
    )
    assert (devices.volumes, devices.raw_volumes) == ({"vdb": "/dev/pvc"}, {"vdc"})
    assert devices.stats_period == 10.0
    assert parse_devices(XML).stats_period == 0.0


def test_a_disk_of_kubevirts_names_its_volume():
    disk = "<disk type='file'><source file='{}'/><target dev='{}'/><alias name='{}'/></disk>"
    disks = disk.format("/a", "vda", "ua-rootdisk") + disk.format("/b", "vdb", "virtio-disk1")
    places = parse_devices(f"<domain><devices>{disks}</devices></domain>").places

    assert {place.device: place.volume for place in places} == {"vda": "rootdisk", "vdb": ""}


def test_which_disks_need_qemus_main_thread() -> None:
    """Of those that do, nobody sees from outside whether they were used."""
    for driver, kind, off in (
        ("name='qemu' type='raw'", "file", True),
        ("name='qemu' type='raw' io='threads'", "block", True),
        ("name='qemu' type='raw' io='native'", "block", False),
        ("name='qemu' type='raw' io='io_uring'", "file", False),
        ("name='qemu' type='raw'", "network", False),
        ("name='qemu' type='qcow2'", "file", False),
        ("name='qemu' type='qcow2' iothread='1'", "file", True),
    ):
        disk = f"<disk type='{kind}'><driver {driver}/><target dev='vda'/></disk>"
        assert parse_devices(f"<domain><devices>{disk}</devices></domain>").off_main_loop is off, driver
    mixed = "<disk type='file'><driver type='raw'/></disk><disk type='file'><driver type='qcow2'/></disk>"
    assert not parse_devices(f"<domain><devices>{mixed}</devices></domain>").off_main_loop
