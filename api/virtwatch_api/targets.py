"""What is watched: how a target is identified, what it is called, and which object Events about it regard.

A kind of target is one entry of `TARGET_KINDS`, its part of the catalogue, and its life on the node that sees it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from virtwatch_api.catalogue.entries import TargetKind


class TargetRef(NamedTuple):
    """Identify a target: a VM by its domain's UUID, a node by its name. The same on every node that sees it."""

    kind: TargetKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


def vm_ref(uuid: str) -> TargetRef:
    """Identify a VM by its domain's UUID."""
    return TargetRef(TargetKind.VIRTUAL_MACHINE, uuid)


def namespace_ref(name: str) -> TargetRef:
    """Identify a namespace by its name."""
    return TargetRef(TargetKind.NAMESPACE, name)


def pool_ref(id_: str) -> TargetRef:
    """Identify a storage pool by its UUID in libvirt."""
    return TargetRef(TargetKind.STORAGE_POOL, id_)


ATTACHMENT_PREFIX = "attachment/"  # of the id of a network of a NetworkAttachmentDefinition


def attachment_ref(namespace: str, name: str) -> TargetRef:
    """Identify the network of a NetworkAttachmentDefinition."""
    return TargetRef(TargetKind.NETWORK, f"{ATTACHMENT_PREFIX}{namespace}/{name}")


def node_ref(name: str) -> TargetRef:
    """Identify a node by its name."""
    return TargetRef(TargetKind.NODE, name)


@dataclass(frozen=True, slots=True)
class Subject:
    """Name the target that an alert is about, in every way that a reader may look for it.

    `label` is what its own node calls it: the domain's name, the Node's. Where a Kubernetes object stands for it
    (a VirtualMachineInstance), `namespace`, `name` and `uid` are that object's; a plain libvirt domain has none.
    """

    label: str
    target: TargetRef
    node: str
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace and self.name else self.label

    @property
    def place(self) -> str:
        """Return where it is: " on node n1"; empty of what spans nodes."""
        return f" on node {self.node}" if self.node else ""

    @property
    def described(self) -> str:
        """Return what it is and its name: "VM shop/web-1", "node n1"."""
        return f"{TARGET_KINDS[self.target.kind].noun} {self}"


@dataclass(frozen=True, slots=True)
class TargetIdentity:
    """Hold what policies select a target by; outside Kubernetes there is a name alone."""

    name: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    kind: TargetKind = TargetKind.VIRTUAL_MACHINE


class Regarding(NamedTuple):
    """Name the object that an Event regards; `uid` is empty where nobody knows it."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None
    uid: str = ""


@dataclass(frozen=True, slots=True)
class KindOfTarget:
    """Say what one kind of target is called, what it does when it goes, and which object Events about it regard."""

    noun: str
    gone: str  # after "the", of one that is not there any more: "VM is not running any more"
    regarding: Callable[[Subject], Regarding | None]  # None where no object stands for it


def _node(subject: Subject) -> Regarding:
    # With the kubelet's uid (the node's name), `kubectl describe node` shows it.
    return Regarding("v1", "Node", subject.node, uid=subject.node)


def _namespace(subject: Subject) -> Regarding:
    return Regarding("v1", "Namespace", subject.label)


def _pool(subject: Subject) -> Regarding | None:
    return _node(subject) if subject.node else None  # on several nodes it is none of theirs


def _machine(subject: Subject) -> Regarding:
    if subject.namespace and subject.name:
        return Regarding("kubevirt.io/v1", "VirtualMachineInstance", subject.name, subject.namespace, subject.uid or "")
    return _node(subject)  # only libvirt knows the domain, so its Node stands for it


TARGET_KINDS: Mapping[TargetKind, KindOfTarget] = {
    TargetKind.VIRTUAL_MACHINE: KindOfTarget("VM", "VM is not running any more", _machine),
    TargetKind.NODE: KindOfTarget("node", "node is not watched any more", _node),
    TargetKind.NETWORK: KindOfTarget("network", "network is gone", _node),
    TargetKind.STORAGE_POOL: KindOfTarget("storage pool", "storage pool is gone", _pool),
    TargetKind.NAMESPACE: KindOfTarget("namespace", "namespace is gone", _namespace),
}
