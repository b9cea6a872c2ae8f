from pathlib import Path

from virtwatch_agent.collect.libvirt.problems import lost, nobody_there, not_opened, silent
from virtwatch_agent.inventory.addresses import LibvirtAddress

POD = LibvirtAddress.of_pod("0a1b", Path("/pods/0a1b/runtime"), "virtqemud-sock")
HOST = LibvirtAddress.of_host(Path("/run/libvirt/libvirt-sock"))
URI = LibvirtAddress.of_uri("qemu+ssh://far/system")


def test_a_socket_is_named_by_its_path_not_by_a_descriptor():
    error = OSError("Failed to connect socket to '/proc/self/fd/40/virtqemud-sock': Connection refused")
    assert "'/pods/0a1b/runtime/virtqemud-sock': Connection refused" in not_opened(POD, error)


def test_each_problem_names_its_libvirt_and_what_to_do():
    refused = OSError("Connection refused")
    assert "pod/0a1b" in not_opened(POD, refused)
    assert "compute container" in not_opened(POD, refused)
    assert "start libvirtd or virtqemud" in not_opened(HOST, refused)
    assert "virsh -c URI list" in not_opened(URI, refused)
    assert "/run/libvirt/libvirt-sock" in lost(HOST, "the daemon ended")
    assert "ps, its log" in silent(URI)


def test_a_right_that_is_missing_is_said_to_be_missing():
    problem = not_opened(POD, OSError("[Errno 13] Permission denied: '/pods/0a1b/runtime'"))
    assert "CAP_DAC_OVERRIDE" in problem


def test_a_socket_that_nobody_serves_is_told_from_one_that_refuses_us():
    assert nobody_there(OSError("Connection refused"))
    assert nobody_there(OSError("No such file or directory"))
    assert not nobody_there(OSError("Permission denied"))
