"""`virtwatch watch` on real QEMU guests: of this host's libvirtd, and of virt-launcher pods."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from lab.rundir import RunDir
from tests.integration.cli.conftest import Virtwatch
from tests.integration.guest_fixtures import MakeLauncher

# Shows a folder as the kubelet's pods folder, to one process alone.
AS_KUBELET = "mount -t tmpfs none /var/lib && mkdir -p /var/lib/kubelet/pods && mount --bind {} /var/lib/kubelet/pods"


@pytest.fixture
def paused_policy(tmp_path: Path) -> Path:
    path = tmp_path / "paused.yaml"
    path.write_text(
        """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: paused, namespace: shop}
spec:
  target: {names: ["web-*", "db-*"]}
  rules:
  - name: paused
    severity: Critical
    event: {type: vm.paused, resolveOn: [vm.resumed, vm.stopped]}
"""
    )
    return path


@pytest.fixture
def host(run: RunDir) -> Iterator[HostLibvirt]:
    made = HostLibvirt(run, name="cli")
    made.start(linux=False)
    yield made
    made.stop()


def test_a_paused_guest_of_the_host_fires_and_its_resumption_resolves(
    virtwatch: Virtwatch, host: HostLibvirt, paused_policy: Path
) -> None:
    guest = host.add("db-1", linux=False)
    command = virtwatch("watch", "-f", paused_policy, "--connect", host.uri)
    command.line("db-1 paused paused")

    guest.resume()
    command.line("VM db-1 running; rules: paused")
    guest.pause()
    assert "Critical db-1 paused: vm.paused" in " ".join(command.line("Critical db-1").split())
    guest.resume()
    assert "cleared by an event" in command.line("Resolved db-1")

    guest.destroy()
    command.line("VM db-1 gone: destroyed")


def test_guests_of_launcher_pods_are_found_by_themselves_and_named_as_in_the_cluster(
    virtwatch: Virtwatch, make_launcher: MakeLauncher, pods_dir: Path, paused_policy: Path
) -> None:
    first = make_launcher("shop", "web-cli-1")
    mount = AS_KUBELET.format(pods_dir)
    command = virtwatch(
        "watch", "-f", paused_policy, before=("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    )
    assert "the pods in /var/lib/kubelet/pods" in command.line("Watching")
    command.line("shop/web-cli-1 paused paused")

    second = make_launcher("shop", "web-cli-2")
    command.line("VM shop/web-cli-2 paused; rules: paused")
    second.guest.resume()
    second.guest.pause()
    command.line("Critical shop/web-cli-2 paused: vm.paused")

    first.stop()
    command.line("VM shop/web-cli-1 gone")
    assert command.interrupt() == 0
    assert "Traceback" not in command.output
