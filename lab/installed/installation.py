"""virtwatch installed from manifests/: its objects applied, its operator and agents as processes under its accounts."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.controlplane.cluster import ControlPlane
from lab.installed.objects import Document, bound_to
from lab.installed.written import create_pod
from lab.process import Process, free_port, start
from lab.rundir import RunDir
from tools.checkout import CHECKOUT

BASE = CHECKOUT / "manifests" / "base"
NAMESPACE = "virtwatch-system"
AGENT, OPERATOR = "virtwatch-agent", "virtwatch-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What an agent finds on its node; a path that is not there is a machine without that kind of libvirt."""

    node: str
    pods_dir: Path
    libvirt_socket: Path
    state_dir: Path


class Installation:
    """`apply()` the manifests once, then start operators and agents, to be killed and restarted singly.

    Each process holds what its Pod would: a token with the rights that the manifests give, and nothing else of the
    cluster. `otlp` is the endpoint that both export to, None where they export nothing.
    """

    def __init__(self, run: RunDir, control_plane: ControlPlane, *, otlp: str | None) -> None:
        self._run = run
        self._control_plane = control_plane
        self._otlp = otlp

    def apply(self) -> None:
        """Apply what `kubectl apply -k` installs; no Pod comes of it, as no workload controller runs."""
        self._control_plane.kubectl("apply", "--server-side", "-k", str(BASE))
        self._control_plane.wait_established("crd", "--all")

    def start_operator(self, name: str = OPERATOR, **env: str) -> Process:
        """Start one replica of the operator."""
        account = self._template("deployment", OPERATOR)["spec"]["serviceAccountName"]
        kubeconfig = self._control_plane.service_account_kubeconfig(NAMESPACE, account)
        return self._start("virtwatch_operator", name=name, kubeconfig=kubeconfig, env={"POD_NAME": name, **env})

    def start_agent(self, host: Host, **env: str) -> Process:
        """Start the agent of one node, in the name of a Pod that is bound to it."""
        name = f"{AGENT}-{host.node}"
        account = self._make_agent_pod(name, node=host.node)
        kubeconfig = self._control_plane.service_account_kubeconfig(NAMESPACE, account, bound_pod=name)
        host.state_dir.mkdir(parents=True, exist_ok=True)
        settings = {
            "POD_NAME": name,
            "VIRTWATCH_NODE": host.node,
            "VIRTWATCH_PODS_DIR": str(host.pods_dir),
            "VIRTWATCH_LIBVIRT_SOCKET": str(host.libvirt_socket),
            "VIRTWATCH_PROC": "/proc",
            "VIRTWATCH_STATE_DIR": str(host.state_dir),
        }
        return self._start("virtwatch_agent", name=name, kubeconfig=kubeconfig, env={**settings, **env})

    def _start(self, module: str, *, name: str, kubeconfig: Path, env: Mapping[str, str]) -> Process:
        settings = {
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": NAMESPACE,
            "VIRTWATCH_HEALTH_PORT": str(free_port()),
            **({"OTEL_EXPORTER_OTLP_ENDPOINT": self._otlp} if self._otlp else {}),
            # Nobody at a demo waits a minute for the first metrics.
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        }
        return start(name, [sys.executable, "-m", module], run_dir=self._run.path, env={**settings, **env})

    def _make_agent_pod(self, name: str, *, node: str) -> str:
        """Make the Pod that the DaemonSet would make on the node; return its ServiceAccount."""
        template = self._template("daemonset", AGENT)
        metadata = {"name": name, "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}
        spec = bound_to(node, template["spec"])
        create_pod(self._control_plane, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return str(template["spec"]["serviceAccountName"])

    def _template(self, kind: str, name: str) -> Document:
        said = self._control_plane.kubectl("get", kind, name, f"--namespace={NAMESPACE}", "-o", "json").stdout
        template: Document = json.loads(said)["spec"]["template"]
        return template
