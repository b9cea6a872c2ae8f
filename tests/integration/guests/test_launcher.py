"""A launcher is to its node's agent what KubeVirt's virt-launcher pod is."""

import os
import socket
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

import libvirt
import pytest

from lab.process import wait_for
from tests.integration.guest_fixtures import MakeLauncher


def test_the_socket_stands_where_a_kubelet_keeps_it(make_launcher: MakeLauncher, pods_dir: Path) -> None:
    launcher = make_launcher("shop", "web-1")

    [found] = pods_dir.glob(f"{launcher.pod_uid}/volumes/kubernetes.io~empty-dir/libvirt-runtime/virtqemud-sock")

    assert found == launcher.socket
    assert found.relative_to(pods_dir).parts[0] == launcher.pod_uid
    assert found.is_socket()
    assert not found.is_symlink()
    assert found.stat().st_uid == found.parent.stat().st_uid == 107
    assert (pods_dir / launcher.pod_uid).stat().st_mode & 0o777 == 0o750


def test_the_socket_is_opened_read_only_through_its_folder(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")
    folder = os.open(launcher.socket.parent, os.O_PATH)
    try:
        name = f"qemu+unix:///session?socket=/proc/self/fd/{folder}/virtqemud-sock"
        connection = libvirt.openReadOnly(name)
        [domain] = connection.listAllDomains()
        seen = (domain.name(), domain.UUIDString(), domain.state())
        connection.close()
    finally:
        os.close(folder)

    assert seen == ("shop_web-1", launcher.guest.uuid, [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER])


def test_the_domain_reads_as_one_of_kubevirts(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")

    domain = ET.fromstring(launcher.daemon.virsh("dumpxml", "shop_web-1"))

    assert domain.find("metadata/{http://kubevirt.io}kubevirt/{http://kubevirt.io}uid") is not None
    assert [alias.get("name") for alias in domain.findall("devices/disk/alias")] == ["ua-rootdisk"]
    assert [alias.get("name") for alias in domain.findall("devices/interface/alias")] == ["ua-default"]
    assert [driver.get("error_policy") for driver in domain.findall("devices/disk/driver")] == ["stop"]


def test_the_qemu_process_tells_its_pod_its_domain_and_its_network(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")
    proc = Path("/proc") / str(launcher.guest.qemu_pid)

    groups = (proc / "cgroup").read_text().splitlines()
    interfaces = {line.split(":")[0].strip() for line in (proc / "net/dev").read_text().splitlines()[2:]}
    arguments = (proc / "cmdline").read_bytes().split(b"\0")

    assert groups
    assert all(f"/kubepods/burstable/pod{launcher.pod_uid}/" in group for group in groups)
    assert interfaces == {"lo", "k6t-eth0", "tap0"}
    assert proc.stat().st_uid == 107
    assert arguments[arguments.index(b"-name") + 1].startswith(b"guest=shop_web-1,")
    assert launcher.guest.uuid.encode() in arguments


def test_two_launchers_know_nothing_of_each_other(make_launcher: MakeLauncher) -> None:
    one, other = make_launcher("shop", "web-1"), make_launcher("bank", "web-1")

    assert one.daemon.virsh("list", "--all", "--name") == "shop_web-1"
    assert other.daemon.virsh("list", "--all", "--name") == "bank_web-1"
    assert one.guest.uuid != other.guest.uuid
    assert one.guest.qemu_pid != other.guest.qemu_pid


def test_a_restarted_libvirtd_finds_its_guest_again(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")
    qemu, libvirtd = launcher.guest.qemu_pid, launcher.daemon.pid

    launcher.daemon.restart()

    assert launcher.daemon.pid != libvirtd
    assert launcher.guest.qemu_pid == qemu
    assert launcher.guest.state.state == "paused"


def test_a_stopped_libvirtd_takes_its_socket_along_and_a_killed_one_leaves_it(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")

    launcher.daemon.stop()
    assert not launcher.socket.exists()

    launcher.daemon.start()
    launcher.daemon.kill()
    assert launcher.socket.exists()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(launcher.uri.partition("socket=")[2])
    assert Path(f"/proc/{launcher.guest.qemu_pid}").exists()


def test_a_restarted_libvirtd_stays_in_its_pods_control_group(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")

    launcher.daemon.restart()
    # A destroy in the middle of libvirt's reconnecting ends the guest and fails.
    settled = partial(launcher.daemon.virsh, "domcontrol", "shop_web-1")
    wait_for(lambda: settled().startswith("ok"), what="libvirtd to have its guest again", deadline=30)
    launcher.guest.destroy()
    launcher.guest.start()

    assert f"pod{launcher.pod_uid}/" in Path(f"/proc/{launcher.guest.qemu_pid}/cgroup").read_text()


def test_a_killed_qemu_leaves_a_domain_that_crashed(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")

    launcher.guest.kill_qemu()

    launcher.guest.wait_state("shut off", "crashed")


def test_a_frozen_qemu_occupies_its_monitor(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")
    status = Path(f"/proc/{launcher.guest.qemu_pid}/status")

    launcher.guest.freeze_qemu()
    wait_for(lambda: "State:\tT" in status.read_text(), what="QEMU to be stopped", deadline=30)
    launcher.guest.thaw_qemu()
    wait_for(lambda: "State:\tT" not in status.read_text(), what="QEMU to go on", deadline=30)

    assert launcher.daemon.virsh("qemu-monitor-command", "shop_web-1", '{"execute": "query-status"}')


def test_a_launcher_starts_again_after_its_stop(make_launcher: MakeLauncher) -> None:
    launcher = make_launcher("shop", "web-1")
    uuid = launcher.guest.uuid

    launcher.stop()
    assert not launcher.socket.exists()
    launcher.start()

    assert launcher.guest.uuid == uuid
    assert launcher.guest.state.state == "paused"


def test_a_frozen_libvirtd_answers_again_when_it_is_thawed_and_ends_when_it_is_stopped(
    make_launcher: MakeLauncher,
) -> None:
    launcher = make_launcher("shop", "web-1")

    launcher.daemon.freeze()
    launcher.daemon.thaw()
    assert launcher.guest.state.state == "paused"

    launcher.daemon.freeze()
    launcher.daemon.stop()
    assert not launcher.daemon.alive
