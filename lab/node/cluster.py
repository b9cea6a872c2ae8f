"""A Kubernetes cluster on one machine: control plane, scheduler, the pods' network, and as many nodes as asked."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.controlplane.cluster import CONTROLLERS, NODE_CONTROLLERS, ControlPlane
from lab.node.network import Network
from lab.node.node import Node
from lab.node.scheduler import start_scheduler
from lab.process import Process
from lab.rundir import RunDir


class Cluster:
    """`start()` it, then `add_node()`. Its parts are processes to stop, kill and restart singly."""

    control_plane: ControlPlane
    network: Network
    scheduler: Process

    def __init__(self, run: RunDir) -> None:
        self.nodes: dict[str, Node] = {}
        self.control_plane = ControlPlane(run, controllers=CONTROLLERS + NODE_CONTROLLERS)
        self._run = run

    def start(self) -> None:
        """Start all but nodes."""
        self.control_plane.start()
        self.network = Network.make(self._run, api_port=int(self.control_plane.server.rpartition(":")[2]))
        self.scheduler = start_scheduler(self._run, self.control_plane)

    def add_node(self, name: str, *, mounts: Mapping[str, Path] | None = None) -> Node:
        """Switch a new node on; return when it is Ready. `mounts`: see `Node`."""
        node = Node(self._run, self.control_plane, self.network, name=name, mounts=mounts)
        self.nodes[name] = node
        node.start()
        return node

    def attach(self, names: Iterable[str]) -> None:
        """Reach the nodes that another process of this run added; parts of theirs are not ours to stop."""
        self.control_plane.attach()
        self.network = Network.attach(self._run)
        for name in names:
            node = Node(self._run, self.control_plane, self.network, name=name)
            node.attach()
            self.nodes[name] = node

    def stop(self) -> None:
        """Cut the nodes' power, then end the rest. What was made on the machine goes when the run is cleaned."""
        for node in self.nodes.values():
            node.lose_power()
        self.scheduler.kill()
        self.control_plane.stop()
