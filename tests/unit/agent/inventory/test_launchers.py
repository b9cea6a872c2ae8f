# A pod is a VM's launcher when the API says so, not when it has a folder of that name.
from pathlib import Path

from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.launchers import Launchers

VM, SQUATTER = (LibvirtAddress.of_pod(uid, Path(f"/pods/{uid}"), "virtqemud-sock") for uid in ("vm", "squatter"))
HOST = LibvirtAddress.of_host(Path("/run/libvirt/libvirt-sock"))


def test_a_pod_of_no_vm_is_never_opened():
    launchers = Launchers(required=True)
    assert launchers.found(frozenset((VM, SQUATTER, HOST))) == {HOST}
    assert launchers.known(frozenset(("vm",))) == {VM, HOST}
    assert launchers.found(frozenset((VM, SQUATTER))) == {VM}


def test_a_launcher_stays_one_until_its_socket_is_gone():
    launchers = Launchers(required=True)
    launchers.known(frozenset(("vm",)))
    assert launchers.found(frozenset((VM,))) == {VM}
    assert launchers.known(frozenset()) is None
    assert launchers.found(frozenset((VM, SQUATTER))) == {VM}
    assert launchers.found(frozenset()) == frozenset()
    assert launchers.found(frozenset((VM,))) == frozenset()


def test_where_there_is_no_api_every_launcher_counts():
    assert Launchers(required=False).found(frozenset((VM, SQUATTER))) == {VM, SQUATTER}
