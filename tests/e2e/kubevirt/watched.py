"""What virtwatch says, on a cluster, of VMs that KubeVirt runs."""

import json
import time
from functools import partial
from typing import Any

from lab.guests.together import side_by_side
from lab.installed.events import EventLog
from lab.kubevirt.vm import VirtualMachine, VmSpec
from lab.node.cluster import Cluster
from lab.process import wait_for
from virtwatch_kube.paths import virtwatch

NAMESPACE = "shop"
DEADLINE_S = 120.0


class Watched:
    """A cluster with virtwatch: make VMs and policies in a namespace, and read what comes of them."""

    def __init__(self, cluster: Cluster, events: EventLog, *, namespace: str = NAMESPACE) -> None:
        self.cluster = cluster
        self.events = events
        self.namespace = namespace
        self.kubectl = cluster.control_plane.kubectl

    def vm(self, name: str, **spec: Any) -> VirtualMachine:
        """Start a VM whose guest has booted."""
        [made] = self.vms(self.spec(name, **spec))
        return made

    def spec(self, name: str, **spec: Any) -> VmSpec:
        """Describe a VM of the namespace."""
        return VmSpec(name=name, namespace=self.namespace, **spec)

    def vms(self, *specs: VmSpec) -> list[VirtualMachine]:
        """Start VMs side by side, as `vm` does each."""
        made = [VirtualMachine(self.cluster.control_plane, spec) for spec in specs]
        side_by_side([partial(self.run, vm) for vm in made])
        return made

    def run(self, vm: VirtualMachine) -> None:
        """Let a VM run, whatever state it is in, and its guest answer."""
        vm.run(lambda: self.ask(vm, "ping"))

    def ask(self, vm: VirtualMachine, request: str) -> None:
        """Let the guest do something, wherever it runs."""
        vm.ask(request, on=vm.on(self.cluster.nodes))

    def put_in_force(self, name: str, *rules: dict[str, Any], **spec: Any) -> None:
        """Apply a MonitorPolicy and return when every agent judges by it."""
        metadata = {"name": name, "namespace": self.namespace}
        body = {"apiVersion": "virtwatch.io/v1alpha1", "kind": "MonitorPolicy", "metadata": metadata}
        self.kubectl("apply", "-f", "-", input=json.dumps({**body, "spec": {"rules": rules, **spec}}))
        self.wait_ready(name)

    def wait_ready(self, policy: str) -> None:
        """Return when every agent judges by the policy."""
        waited = (f"monitorpolicy/{policy}", f"--namespace={self.namespace}", f"--timeout={DEADLINE_S:g}s")
        self.kubectl("wait", "--for=condition=Ready", *waited)

    def forget(self, policy: str) -> None:
        """Delete a policy."""
        self.kubectl("delete", "monitorpolicy", policy, f"--namespace={self.namespace}")

    def policy(self, name: str) -> dict[str, Any]:
        """Return a policy's status."""
        return self._status(virtwatch("monitorpolicies", namespace=self.namespace, name=name))

    def node(self, name: str) -> dict[str, Any]:
        """Return what the agent of a node reports."""
        return self._status(virtwatch("nodemonitors", name=name))

    def alerts(self, policy: str, vm: VirtualMachine) -> list[dict[str, Any]]:
        """Return the alerts of a VM that fire, as the policy's status has them."""
        active = self.policy(policy).get("activeAlerts", [])
        return [alert for alert in active if alert["target"].split()[0] == f"{self.namespace}/{vm.spec.name}"]

    def wait_alert(self, policy: str, vm: VirtualMachine) -> dict[str, Any]:
        """Return the one alert of the VM that fires, once the policy's status has it."""
        found: list[dict[str, Any]] = []

        def fires() -> bool:
            found[:] = self.alerts(policy, vm)
            return len(found) == 1

        what = f"one alert of {vm.spec.name} in the status of {policy}"
        wait_for(fires, what=what, deadline=DEADLINE_S)
        return found[0]

    def wait_moved(self, policy: str, vm: VirtualMachine, *, to: str, deadline: float = DEADLINE_S) -> None:
        """Return when the one alert of the VM that fires is that of a node, whose agent has taken it."""

        def taken() -> bool:
            firing = self.node(to).get("firing", [])
            return any((one["policy"]["name"], one["subject"].get("name")) == (policy, vm.spec.name) for one in firing)

        wait_for(
            lambda: [alert["node"] for alert in self.alerts(policy, vm)] == [to] and taken(),
            what=f"the alert to be on {to}, and there alone",
            deadline=deadline,
            instead=lambda: self._found(policy, vm),
        )

    def wait_quiet(self, policy: str, vm: VirtualMachine) -> None:
        """Return when no alert of the VM fires."""
        what = f"no alert of {vm.spec.name} to fire"
        wait_for(lambda: not self.alerts(policy, vm), what=what, deadline=DEADLINE_S)

    def _found(self, policy: str, vm: VirtualMachine) -> str:
        """Say what everybody knows of a VM, for a person who reads why a test failed."""
        vmi = vm.vmi()
        known = {"labels": vmi.get("metadata", {}).get("labels"), **vmi.get("status", {}).get("migrationState", {})}
        lines = [f"policy {self.alerts(policy, vm)}", f"VMI {known}"]
        for name in self.cluster.nodes:
            monitor = self.cluster.control_plane.get(virtwatch("nodemonitors", name=name))
            status = monitor.get("status", {})
            said = {key: status.get(key) for key in ("sequence", "firing", "transitions", "adopted", "conditions")}
            lines.append(f"{name} {said}, spec {monitor.get('spec')}")
        return "\n".join(lines)

    def _status(self, path: str) -> dict[str, Any]:
        return dict(self.cluster.control_plane.get(path).get("status", {}))


class Told:
    """The Events about one object, of what happened since this was made."""

    def __init__(self, watched: Watched, kind: str, name: str) -> None:
        self._events = watched.events
        self._about = f"{kind} {name}"
        self._began = time.time()

    def of(self, rule: str, *, vm: VirtualMachine | None = None) -> list[str]:
        """Give the reasons of the Events of one rule, in their order; with a VM, of those that name it."""
        named = f"{vm.spec.namespace}/{vm.spec.name} " if vm else ""
        return [event.reason for event in self._said(rule) if named in event.note]

    def counts(self, rule: str) -> list[int]:
        """Give how often each Event of one rule was said."""
        return [event.count for event in self._said(rule)]

    def notes(self, rule: str) -> list[str]:
        """Give the sentences of the Events of one rule, in their order."""
        return [event.note for event in self._said(rule)]

    def wait(self, rule: str, *reasons: str) -> None:
        """Return when the Events of a rule begin with these."""
        self._events.wait(
            lambda: self.of(rule)[: len(reasons)] == list(reasons),
            what=f"the Events {', '.join(reasons)} of the rule {rule} on {self._about}",
            deadline=DEADLINE_S,
        )

    def wait_any(self, rule: str) -> None:
        """Return when there is an Event of a rule."""
        self._events.wait(
            lambda: self.of(rule) != [], what=f"an Event of the rule {rule} on {self._about}", deadline=DEADLINE_S
        )

    def wait_last(self, rule: str, reason: str) -> None:
        """Return when the newest Event of a rule has this reason."""
        self._events.wait(
            lambda: self.of(rule)[-1:] == [reason],
            what=f"{reason} to be the newest Event of the rule {rule} on {self._about}",
            deadline=DEADLINE_S,
        )

    def _said(self, rule: str) -> list[Any]:
        told = self._events.told(about=self._about, since=self._began)
        return [event for event in told if f"rule {rule} " in event.note]


def told_of_vm(watched: Watched, vm: VirtualMachine) -> Told:
    """Listen to the Events about a VM's VirtualMachineInstance from now on."""
    return Told(watched, "VirtualMachineInstance", vm.spec.name)
