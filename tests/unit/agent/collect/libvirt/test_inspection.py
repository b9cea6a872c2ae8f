"""Which direction a NIC's counters have, of a process that the test lays out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from virtwatch_agent.collect.kernel.reader import NetworkCounters, Nic
from virtwatch_agent.collect.libvirt.devices import Devices, parse_devices
from virtwatch_agent.collect.libvirt.inspection import Inspector
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.processes import QemuProcess

NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop ...|bytes    packets errs drop ...
  net1: 7500000000 10 0 0 0 0 0 0 2000 3 0 0 0 0 0 0
  tap0: 2000 3 0 0 0 0 0 0 7500000000 10 0 0 0 0 0 0
"""
# As KubeVirt's macvtap binding writes it, and a tap beside it.
XML = """<domain><devices>
  <interface type='ethernet'><target dev='net1' managed='no'/></interface>
  <interface type='ethernet'><target dev='tap0' managed='no'/></interface>
</devices></domain>"""


def read(folder: Path, devices: Devices, macvtaps: set[str]) -> dict[Any, float]:
    (folder / "net").mkdir()
    (folder / "net" / "dev").write_text(NET_DEV)
    (folder / "statm").write_text("100 50 0 0 0 0 0\n")
    processes: Any = SimpleNamespace(find=lambda *_: QemuProcess(folder, "1-1", 1.0, {}))
    inspector = Inspector(LibvirtAddress.of_uri("qemu:///system"), processes, NetworkCounters(), macvtaps)
    reader = inspector._reader("u", devices, [])
    assert reader is not None
    return reader.read(1.0)


def test_what_a_macvtap_received_the_guest_has_received(tmp_path: Path) -> None:
    values = read(tmp_path, parse_devices(XML), {"net1"})

    for nic in ("net1", "tap0"):
        assert values["network.receive.bytes", nic] == 7_500_000_000
        assert values["network.transmit.bytes", nic] == 2000


def test_an_interface_that_the_xml_calls_a_macvtap_is_one(tmp_path: Path) -> None:
    values = read(tmp_path, Devices(nics=(Nic("net1", host_view=True),)), set())

    assert values["network.receive.bytes", "net1"] == 7_500_000_000
