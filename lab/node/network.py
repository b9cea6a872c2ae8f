"""The pods' network: one bridge for all nodes of a run, and the few addresses of the machine that pods may reach."""

import hashlib
import json
import shlex
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lab.controlplane.pki import SERVICE_ADDRESS
from lab.rundir import RunDir
from tools.errors import ToolError
from tools.machine import ensure_packages

PACKAGES = ("containernetworking-plugins", "iproute2", "iptables", "procps")
PLUGINS = "/usr/lib/cni"
CNI_VERSION = "1.0.0"
# Kubernetes' customary range for pods; each run takes a /24 of it.
PODS = IPv4Network("10.244.0.0/16")


@dataclass(frozen=True, slots=True)
class Network:
    """A bridge on the machine. It leads nowhere: no pod reaches more than other pods and what `publish()` names."""

    run: RunDir
    bridge: str
    pods: IPv4Network

    @classmethod
    def make(cls, run: RunDir, *, api_port: int) -> "Network":
        """Make the bridge; pods find the API server of that loopback port at the service address that they know."""
        ensure_packages(PACKAGES)
        made = cls(run, _bridge(run), free_network(run))
        make_bridge(run, made.bridge, address=f"{made.gateway}/{made.pods.prefixlen}")
        # Only so may what comes from the bridge be led to the machine's loopback, where the control plane listens.
        output("sysctl", "--quiet", "--write", f"net.ipv4.conf.{made.bridge}.route_localnet=1")
        made._lead(SERVICE_ADDRESS, 443, to=api_port)
        return made

    @classmethod
    def attach(cls, run: RunDir) -> "Network":
        """Return the network that another process made for the run."""
        [route] = json.loads(output("ip", "-json", "-4", "route", "show", "dev", _bridge(run)))
        return cls(run, _bridge(run), IPv4Network(route["dst"]))

    @property
    def gateway(self) -> str:
        """The bridge's own address: the machine's, and so every node's, as pods see it."""
        return str(next(self.pods.hosts()))

    def publish(self, port: int) -> str:
        """Let pods reach a port of the machine's loopback; return the address and port to give them."""
        self._lead(self.gateway, port, to=port)
        return f"{self.gateway}:{port}"

    @property
    def cni(self) -> dict[str, Any]:
        """The configuration by which pods are connected. All nodes take addresses from one store."""
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": str(self.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self.run.path / "addresses"),
        }
        # The bridge has the gateway's address already. As its gateway the plugin would let the machine forward packets.
        plugin = {"type": "bridge", "bridge": self.bridge, "isGateway": False, "ipMasq": False, "ipam": addresses}
        return {"cniVersion": CNI_VERSION, "name": "lab", "plugins": [plugin]}

    def write_cni(self, folder: Path) -> None:
        """Write that configuration where a node's containerd looks."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "10-lab.conflist").write_text(json.dumps(self.cni))

    def _lead(self, address: str, port: int, *, to: int) -> None:
        match = ["PREROUTING", "-i", self.bridge, "-d", address, "-p", "tcp", "--dport", str(port)]
        rule = [*match, "-j", "DNAT", "--to-destination", f"127.0.0.1:{to}"]
        iptables = ("iptables", "--wait", "--table", "nat")
        there, away = (shlex.join([*iptables, option, *rule]) for option in ("-C", "-D"))
        self.run.record_undo("sh", "-c", f"! {there} 2> /dev/null || {away}")
        output(*iptables, "-A", *rule)


def make_bridge(run: RunDir, name: str, *, address: str) -> None:
    """Make a bridge on the machine, up, with an address; it goes with the run."""
    run.record_undo("sh", "-c", f"! ip link show {name} > /dev/null 2>&1 || ip link delete {name}")
    output("ip", "link", "add", name, "type", "bridge")
    output("ip", "address", "add", address, "dev", name)
    output("ip", "link", "set", name, "up")


def _bridge(run: RunDir) -> str:
    return f"vw{run.name[:8]}"


def free_network(run: RunDir) -> IPv4Network:
    """Choose a part of the pods' range that no route of the machine leads to."""
    routes = json.loads(output("ip", "-json", "-4", "route", "show"))
    taken = [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]
    parts = list(PODS.subnets(new_prefix=24))
    first = hashlib.sha256(str(run.path).encode()).digest()[0]
    for part in parts[first:] + parts[:first]:
        if not any(part.overlaps(other) for other in taken):
            return part
    raise ToolError(f"Every part of {PODS} has a route on this machine: end other runs (make down) or free one.")


def output(*command: str) -> str:
    """Run a command of the machine's and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
