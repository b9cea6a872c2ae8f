"""A network that VMs of KubeVirt are attached to is its bridge on the node: there or not, and what it counts."""

import json
import threading
import time
from pathlib import Path

import pytest

from virtwatch_agent.collect.network import attachments
from virtwatch_agent.collect.network.attachments import AttachmentCollector
from virtwatch_agent.collect.network.bridges import Bridges
from virtwatch_agent.collect.network.definitions import Definitions
from virtwatch_agent.observations import ObjectsListed, Sample
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.absence import reasons
from virtwatch_api.catalogue.entries import Source, TargetKind
from virtwatch_api.targets import TargetRef

LAN = ("shop", "vlan10")
HANGS = ("shop", "hangs")
LAN_REF = TargetRef(TargetKind.NETWORK, "attachment/shop/vlan10")
LIBVIRTS = TargetRef(TargetKind.NETWORK, "11111111-0000-4000-8000-000000000000")
DEADLINE_S = 30.0


class Inner:
    """Stand in for what reads libvirt's networks."""

    def __init__(self) -> None:
        self.planned = {}

    def start(self, deliver) -> None: ...

    def plan(self, target, intervals) -> None:
        self.planned[target] = intervals

    def stop(self) -> None: ...


class Node:
    def __init__(self, sys: Path) -> None:
        self.interfaces = sys / "class" / "net"
        self.attached, self.asked, self.inner = frozenset({LAN}), [], Inner()
        self.hanging, self.released = threading.Event(), threading.Event()
        self.delivered: list = []
        self._changed = threading.Condition()
        self.collector = AttachmentCollector(self.inner, lambda: self.attached, Definitions(self), Bridges(sys), time)

    def get(self, path):
        self.asked.append(path.rpartition("/")[2])
        if path.endswith("/hangs"):
            self.hanging.set()
            self.released.wait(DEADLINE_S)
        return {"spec": {"config": json.dumps({"type": "bridge", "bridge": "br1"})}}

    def bridge(self, state: str) -> None:
        for name in ("br1", "veth1"):
            counters = self.interfaces / name / "statistics"
            counters.mkdir(parents=True, exist_ok=True)
            for direction in ("rx", "tx"):
                for counter, count in (("bytes", 100), ("packets", 10), ("dropped", 2), ("errors", 1)):
                    (counters / f"{direction}_{counter}").write_text(f"{count}\n")
        (self.interfaces / "br1" / "operstate").write_text(f"{state}\n")
        (self.interfaces / "br1" / "brif" / "veth1").mkdir(parents=True, exist_ok=True)

    def deliver(self, *observations) -> None:
        with self._changed:
            self.delivered += observations
            self._changed.notify()

    def wait(self, kind, holding) -> object:
        with self._changed:
            found = lambda: [one for one in self.delivered if isinstance(one, kind) and holding(one)]  # noqa: E731
            assert self._changed.wait_for(lambda: bool(found()), DEADLINE_S), self.delivered
            return found()[-1]


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setattr(attachments, "LOOK_S", 0.02)
    begun = Node(tmp_path)
    begun.bridge("up")
    begun.collector.start(begun.deliver)
    yield begun
    begun.released.set()
    begun.collector.stop()


def test_an_attached_network_is_listed_as_long_as_a_vm_hangs_on_it(node):
    [listed] = node.wait(ObjectsListed, lambda one: one.objects).objects
    assert (listed.target, listed.name, listed.active) == (LAN_REF, "shop.vlan10", True)
    node.bridge("down")
    node.wait(ObjectsListed, lambda one: one.objects and not one.objects[0].active)
    node.attached = frozenset()
    node.wait(ObjectsListed, lambda one: not one.objects)

    assert node.asked == ["vlan10"]


def test_its_bridge_is_read_as_libvirts_networks_are(node):
    node.wait(ObjectsListed, lambda one: one.objects)
    node.collector.plan(LAN_REF, {Source.NETWORK: 0.02})
    node.collector.plan(LIBVIRTS, {Source.NETWORK: 1.0})
    values = node.wait(Sample, lambda one: one.target == LAN_REF).values

    assert values["network.state", ""] == 1.0
    assert values["bridge.bytes", "veth1"] == 100.0
    assert values["bridge.drops", "veth1"] == 4.0
    assert node.inner.planned == {LIBVIRTS: {Source.NETWORK: 1.0}}
    node.bridge("down")
    assert node.wait(Sample, lambda one: len(one.values) == 1).values == {("network.state", ""): 0.0}


def test_nobody_on_the_node_knows_its_leases(node):
    node.wait(ObjectsListed, lambda one: one.objects)
    node.collector.plan(LAN_REF, {Source.NETWORK: 0.02})

    assert node.wait(Sample, lambda one: one.target == LAN_REF).unavailable == {
        "leases": absences.NO_LEASES_KNOWN,
        "lease.addresses": absences.NO_LEASES_KNOWN,
    }
    assert absences.NO_LEASES_KNOWN in reasons("network.leases") & reasons("network.leases.ratio")


def test_a_question_that_hangs_stops_no_sampling(node):
    node.wait(ObjectsListed, lambda one: one.objects)
    node.attached = frozenset({LAN, HANGS})
    assert node.hanging.wait(DEADLINE_S)
    node.collector.plan(LAN_REF, {Source.NETWORK: 0.02})

    node.wait(Sample, lambda one: one.target == LAN_REF)
    assert not node.released.is_set()
