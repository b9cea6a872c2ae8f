"""virtwatch on real nodes, as a user installs it: kubectl apply, its images, its pods."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from lab.guests.together import side_by_side
from lab.node.cluster import Cluster
from lab.node.node import Node
from tools.checkout import CHECKOUT
from tools.images.product import AGENT, OPERATOR, agent_image, operator_image

OVERLAY = ("-k", str(CHECKOUT / "manifests" / "overlays" / "lab"))
NAMESPACE_FILE = CHECKOUT / "manifests" / "base" / "namespace.yaml"
NAMESPACE = "virtwatch-system"
WORKLOADS = ("deployment/virtwatch-operator", "daemonset/virtwatch-agent")
ROLLOUT_DEADLINE_S = 300
REMOVE_DEADLINE_S = 120
NOTHING: Mapping[str, str] = MappingProxyType({})


def install(cluster: Cluster, *, otlp_port: int | None, source: Sequence[str] = OVERLAY) -> None:
    """Load the images into every node, then `apply()`."""
    load_images(cluster)
    apply(cluster, otlp_port=otlp_port, source=source)


def load_images(cluster: Cluster) -> None:
    """Load the images into every node, under the names that manifests without a registry give them too."""
    archives = (agent_image(), operator_image())
    side_by_side([partial(_load, node, archives) for node in cluster.nodes.values()])


def _load(node: Node, archives: Sequence[Path]) -> None:
    for archive in archives:
        node.import_image(archive)
    for image in (AGENT, OPERATOR):
        node.name_image(image, f"docker.io/library/{image.rpartition('/')[2]}")


def apply(
    cluster: Cluster,
    *,
    otlp_port: int | None,
    telemetry: Mapping[str, str] = NOTHING,
    source: Sequence[str] = OVERLAY,
) -> None:
    """Apply what kubectl calls `source` and return when all pods are ready.

    `otlp_port` is where a backend listens on the machine's loopback: pods are given an address that leads there, and
    what else `telemetry` says.
    """
    kubectl = cluster.control_plane.kubectl
    # Pods read where their telemetry goes when they start: so that is there before them.
    kubectl("apply", "-f", str(NAMESPACE_FILE))
    if otlp_port is not None:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{cluster.network.publish(otlp_port)}", **telemetry}
        literals = [f"--from-literal={name}={value}" for name, value in settings.items()]
        kubectl("create", "configmap", "virtwatch-telemetry", f"--namespace={NAMESPACE}", *literals)
    kubectl("apply", *source)
    wait_ready(cluster)


def wait_ready(cluster: Cluster) -> None:
    """Return when every replica of the operator and the agent of every node is ready and of the newest revision."""
    for workload in WORKLOADS:
        waited = ("status", workload, f"--namespace={NAMESPACE}", f"--timeout={ROLLOUT_DEADLINE_S}s")
        cluster.control_plane.kubectl("rollout", *waited)


def remove(cluster: Cluster, *, source: Sequence[str] = OVERLAY) -> None:
    """Delete what is left of what was applied, and wait until it is gone."""
    cluster.control_plane.kubectl("delete", "--ignore-not-found", *source, f"--timeout={REMOVE_DEADLINE_S}s")
