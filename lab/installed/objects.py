"""The API objects that a kubelet and KubeVirt would have written, as far as virtwatch reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]
# KubeVirt's label for the node of a VMI; agents watch by it.
NODE_LABEL = "kubevirt.io/nodeName"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmiFacts:
    """What identifies one running VMI; `pod_uid` is that of its virt-launcher Pod."""

    namespace: str
    name: str
    node: str
    pod_uid: str
    domain_uuid: str
    labels: Mapping[str, str]


def node(name: str) -> Document:
    """Return a Node."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubevirt.io/schedulable": "true"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def node_status() -> Document:
    """Return what a healthy kubelet reports of its Node."""
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is ready"}
    return {"status": {"conditions": [{**condition, "lastTransitionTime": _now(), "lastHeartbeatTime": _now()}]}}


def pod_status(spec: Mapping[str, Any]) -> Document:
    """Return what a kubelet reports of a Pod whose containers all run."""
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": _now()}},
        }
        for container in spec["containers"]
    ]
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": _now()}
    return {"status": {"phase": "Running", "conditions": [ready], "containerStatuses": containers}}


def launcher_pod(*, namespace: str, vmi: str, node: str) -> Document:
    """Return the Pod of a virt-launcher, bound to its node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"virt-launcher-{vmi}-",
            "namespace": namespace,
            "labels": {"kubevirt.io": "virt-launcher", "vm.kubevirt.io/name": vmi},
            "annotations": {"kubevirt.io/domain": vmi},
        },
        "spec": bound_to(node, {"containers": [{"name": "compute", "image": "virt-launcher"}]}),
    }


def bound_to(node: str, spec: Mapping[str, Any]) -> Document:
    """Bind a Pod's spec to a node. No kubelet runs there, so its Pod must go at once when it is deleted."""
    return {**spec, "nodeName": node, "terminationGracePeriodSeconds": 0}


def vmi(facts: VmiFacts) -> Document:
    """Return a VMI that runs, as virt-controller and virt-handler leave it."""
    now = _now()
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": facts.name,
            "namespace": facts.namespace,
            "labels": {**facts.labels, NODE_LABEL: facts.node},
        },
        "spec": {
            "domain": {
                "cpu": {"cores": 1, "sockets": 1, "threads": 1},
                "devices": {"disks": [{"name": "rootdisk", "disk": {"bus": "virtio"}}]},
                "firmware": {"uuid": facts.domain_uuid},
                "memory": {"guest": "96Mi"},
            },
            "terminationGracePeriodSeconds": 0,
        },
        "status": {
            "phase": "Running",
            "nodeName": facts.node,
            "activePods": {facts.pod_uid: facts.node},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now, "lastProbeTime": None}],
            "interfaces": [{"name": "default", "interfaceName": "eth0", "ipAddress": "10.0.2.2"}],
            "phaseTransitionTimestamps": [{"phase": "Running", "phaseTransitionTimestamp": now}],
        },
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
