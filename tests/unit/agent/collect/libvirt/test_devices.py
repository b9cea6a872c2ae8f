import pytest

from virtwatch_agent.collect.kernel.reader import Nic
from virtwatch_agent.collect.libvirt.devices import parse_devices

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
