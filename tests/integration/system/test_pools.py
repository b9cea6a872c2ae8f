"""A storage pool of the node, from libvirt to a Kubernetes Event, by the installed operator and agent."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from lab.installed.events import EventLog
from lab.installed.system import System
from lab.rundir import RunDir

FIND_S = 60.0  # the agent looks for a libvirt that is absent every 30 s
POLICY = {
    "apiVersion": "virtwatch.io/v1alpha1",
    "kind": "ClusterMonitorPolicy",
    "metadata": {"name": "pools"},
    "spec": {
        "target": {"kind": "StoragePool", "names": ["images"]},
        "collection": {"interval": "1s"},
        "rules": [
            {"name": "room", "threshold": {"signal": "pool.available", "warning": {"below": "1000Ti"}}},
            {
                "name": "down",
                "severity": "Critical",
                "event": {"type": "pool.stopped", "resolveOn": ["pool.started"]},
            },
        ],
    },
}


@pytest.fixture
def host(system: System, system_run: RunDir, tmp_path: Path) -> Iterator[HostLibvirt]:
    """Run the node's own libvirtd, with a started pool named images."""
    made = HostLibvirt(system_run, name="node")
    made.start(linux=False)
    (tmp_path / "images").mkdir()
    made.daemon.virsh("pool-define-as", "images", "dir", "--target", str(tmp_path / "images"))
    made.daemon.virsh("pool-start", "images")
    os.link(made.socket, system.host.libvirt_socket)
    yield made
    system.host.libvirt_socket.unlink()
    made.stop()


def test_a_pool_is_judged_and_told_as_an_event_on_its_node(system: System, host: HostLibvirt) -> None:
    def firing() -> set[tuple[str, str]]:
        return {(item["rule"], item["subject"]["label"]) for item in system.status().get("firing", [])}

    with EventLog(system.control_plane.kubeconfig, "default") as events:
        system.apply(POLICY)
        try:
            system.wait(lambda: ("room", "images") in firing(), what="the rule on room to fire", deadline=FIND_S)
            host.daemon.virsh("pool-destroy", "images")
            system.wait(lambda: ("down", "images") in firing(), what="the stop to fire")
            system.wait(
                lambda: any("storage pool images" in item.note for item in events.told(about=f"Node {system.node}")),
                what="an Event on the Node",
            )
            host.daemon.virsh("pool-start", "images")
            system.wait(lambda: ("down", "images") not in firing(), what="the start to end it")
        finally:
            system.control_plane.kubectl("delete", "clustermonitorpolicy", "pools")
