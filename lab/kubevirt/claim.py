"""A PersistentVolumeClaim for a VM's disk, bound to a folder of a node: what a storage provisioner would make."""

from pathlib import Path
from typing import Any

from lab.node.node import Node

FOLDER = Path("/var/lib/volumes")
# KubeVirt makes a file system's claim into a disk of this size.
SIZE = "16Mi"


def claim(node: Node, name: str, *, namespace: str, storage_class: str) -> list[dict[str, Any]]:
    """Make the folder; return the claim and the volume that is kept for it, which binds VMs to the node."""
    folder = FOLDER / name
    node.namespace.run("mkdir", "-p", folder)
    shared = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class}
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}
    volume = {
        **shared,
        "capacity": {"storage": SIZE},
        "local": {"path": str(folder)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        "claimRef": {"namespace": namespace, "name": name},
    }
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**shared, "resources": {"requests": {"storage": SIZE}}},
        },
    ]
