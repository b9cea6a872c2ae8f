"""Write API objects as their controllers would: the object, then its status where that is written apart."""

import json

from lab.controlplane.cluster import ControlPlane
from lab.installed import objects
from lab.installed.objects import Document


def create(control_plane: ControlPlane, document: Document) -> Document:
    """Create an object and return it as the API server keeps it."""
    made = control_plane.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(document)).stdout
    kept: Document = json.loads(made)
    return kept


def create_namespace(control_plane: ControlPlane, name: str) -> None:
    """Create a Namespace and in it what kube-controller-manager adds, the ServiceAccount of its Pods."""
    control_plane.kubectl("create", "namespace", name)
    control_plane.kubectl("create", "serviceaccount", "default", f"--namespace={name}")


def create_node(control_plane: ControlPlane, name: str) -> None:
    """Create a Node that is ready."""
    create(control_plane, objects.node(name))
    _status(control_plane, f"node/{name}", objects.node_status())


def create_pod(control_plane: ControlPlane, document: Document) -> Document:
    """Create a Pod that runs and return it."""
    pod = create(control_plane, document)
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    _status(control_plane, f"pod/{name}", objects.pod_status(pod["spec"]), f"--namespace={namespace}")
    return pod


def _status(control_plane: ControlPlane, thing: str, status: Document, *namespace: str) -> None:
    patch = f"--patch={json.dumps(status)}"
    control_plane.kubectl("patch", thing, *namespace, "--subresource=status", "--type=merge", patch)
