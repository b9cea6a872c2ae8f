"""`virtwatch watch` on storage pools and networks: of the test driver, and of a real libvirtd."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from lab.rundir import RunDir
from tests.integration.cli.conftest import Virtwatch

POOLS = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: storage}
spec:
  target: {kind: StoragePool}
  collection: {interval: 1s}
  rules:
  - name: room
    threshold: {signal: pool.available, warning: {below: 1000Ti}}
  - name: stopped
    severity: Critical
    event: {type: pool.stopped, resolveOn: [pool.started]}
"""
NETWORKS = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: networks}
spec:
  target: {kind: Network, names: ["def*"]}
  collection: {interval: 1s}
  rules:
  - name: up
    threshold: {signal: network.active, warning: {above: "0.5"}}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    path = tmp_path / "objects.yaml"
    path.write_text(f"{POOLS}---\n{NETWORKS}")
    return path


@pytest.fixture
def host(run: RunDir) -> Iterator[HostLibvirt]:
    made = HostLibvirt(run, name="pools")
    made.start(linux=False)
    yield made
    made.stop()


@pytest.mark.parametrize(
    "line", ["Warning default-pool room: pool.available is 100Gi", "Warning default up: network.active is 1"]
)
def test_pools_and_networks_of_the_test_driver_fire(virtwatch: Virtwatch, policies: Path, line: str) -> None:
    virtwatch("watch", "-f", policies, "--connect", "test:///default").line(line)


def test_a_real_pool_fires_stops_and_starts(
    virtwatch: Virtwatch, host: HostLibvirt, policies: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    host.daemon.virsh("pool-define-as", "images", "dir", "--target", str(tmp_path / "images"))
    host.daemon.virsh("pool-start", "images")
    command = virtwatch("watch", "-f", policies, "--connect", host.uri)
    command.line("Warning images room: pool.available is")
    host.daemon.virsh("pool-destroy", "images")
    command.line("Critical images stopped: pool.stopped")
    host.daemon.virsh("pool-start", "images")
    assert "cleared by an event" in command.line("Resolved images stopped")
    host.daemon.virsh("pool-destroy", "images")
    host.daemon.virsh("pool-undefine", "images")
    command.line("the storage pool is gone")
