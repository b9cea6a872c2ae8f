"""Storage pools of the node and VMs on them, from libvirt to Kubernetes Events, by the installed operator and agent."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from lab.installed.events import EventLog
from lab.installed.system import System
from lab.rundir import RunDir
from tests.integration.system.watched import explain_by_agent
from virtwatch_kube.paths import resource, virtwatch

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


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def host(system: System, system_run: RunDir, images: Path) -> Iterator[HostLibvirt]:
    """Run the node's own libvirtd, with a started pool named images; once, since the agent takes long to find it."""
    made = HostLibvirt(system_run, name="node")
    made.start(linux=False)
    made.daemon.virsh("pool-define-as", "images", "dir", "--target", str(images))
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
            system.wait(lambda: ("room", "images") in firing(), what="the rule on room to fire")
            said = explain_by_agent(system, f"pool/{system.node}/images")
            assert "storage pool images" in said["text"]
            assert [item["rule"] for item in said["rules"]] == ["down", "room"]
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


TOGETHER = {
    "apiVersion": "virtwatch.io/v1alpha1",
    "kind": "ClusterMonitorPolicy",
    "metadata": {"name": "together"},
    "spec": {
        "target": {"names": ["on-pool-*"]},
        "rules": [
            {
                "name": "paused-together",
                "severity": "Critical",
                "pattern": {
                    "count": {"type": "vm.paused", "atLeast": 5, "by": "StoragePool", "distinct": True},
                    "within": "1m",
                },
            }
        ],
    },
}


def test_five_vms_of_one_pool_that_are_paused_are_one_alert_about_the_pool(
    system: System, host: HostLibvirt, images: Path
) -> None:
    """The fifth VM's disk on the pool is plugged while it runs; a sixth, on no pool, does not count."""
    virsh = host.daemon.virsh
    guests = [host.add(f"on-pool-{number}", linux=False) for number in range(5)]
    elsewhere = host.add("on-pool-none", linux=False)
    for guest in guests:
        virsh("vol-create-as", "images", guest.name, "1M")
        virsh("attach-disk", guest.name, str(images / guest.name), "vdb", "--live")
    system.apply(TOGETHER)
    try:
        system.wait(
            lambda: any(item["policy"]["name"] == "together" for item in system.status().get("applied", [])),
            what="the policy to be applied to the VMs",
        )
        for guest in (elsewhere, *guests):
            guest.resume()
        for guest in (elsewhere, *guests[:4]):
            guest.pause()
        system.wait(lambda: counted(system) == 4, what="four pauses to be counted")
        assert active(system) == []
        guests[4].pause()
        system.wait(lambda: active(system) == [("paused-together", "images")], what="the alert about the pool")
        with EventLog(system.control_plane.kubeconfig, "default") as events:
            system.wait(
                lambda: any(
                    "fires for storage pool images: 5 times vm.paused" in item.note
                    for item in events.told(about="ClusterMonitorPolicy together")
                ),
                what="an Event on the policy",
            )
    finally:
        system.control_plane.kubectl("delete", "clustermonitorpolicy", "together")


def active(system: System) -> list[tuple[str, str]]:
    document = system.control_plane.get(virtwatch("clustermonitorpolicies", name="together"))
    return [(item["rule"], item["target"]) for item in document.get("status", {}).get("activeAlerts", [])]


def counted(system: System) -> int:
    """Return of how many events of the pool the operator knows."""
    path = resource("v1", "configmaps", namespace="virtwatch-system", name="virtwatch-patterns")
    kept = json.loads(system.control_plane.get(path).get("data", {}).get("patterns", "{}"))
    documents = (item["document"] for item in kept.get("learned", []) if item["rule"] == "paused-together")
    return sum(len(group["events"]) for document in documents for group in document["groups"].values())
