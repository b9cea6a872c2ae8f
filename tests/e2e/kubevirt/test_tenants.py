"""Two tenants, each with a namespace, a VM and a policy of the same name: neither hears of the other."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Self

import pytest

from lab.guests.together import side_by_side
from lab.installed.events import EventLog
from lab.kubevirt.vm import VirtualMachine
from tests.e2e.kubevirt.watched import Told, Watched, told_of_vm
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden
from virtwatch_kube.paths import EVENTS, resource, virtwatch

pytestmark = pytest.mark.timeout(900)
POLICY, RULE, VM = "mine", "paused", "db-1"
PAUSED = {"name": RULE, "event": {"type": "vm.paused", "resolveOn": ["vm.resumed", "vm.stopped"]}}
ACME, BANK = "acme", "bank"


@dataclass(frozen=True, slots=True)
class Tenant:
    """What a tenant has, and the API as the tenant may use it: with the role `edit` in one namespace."""

    watched: Watched
    vm: VirtualMachine
    client: KubeClient

    @classmethod
    def of(cls, watched: Watched, severity: str) -> Self:
        kubectl, namespace = watched.kubectl, watched.namespace
        in_namespace = f"--namespace={namespace}"
        kubectl("create", "serviceaccount", "tenant", in_namespace)
        bound = ("--clusterrole=edit", f"--serviceaccount={namespace}:tenant")
        kubectl("create", "rolebinding", "tenant", in_namespace, *bound)
        kubeconfig = watched.cluster.control_plane.service_account_kubeconfig(namespace, "tenant")
        vm = watched.vm(VM, disk=False)
        watched.put_in_force(POLICY, {**PAUSED, "severity": severity})
        return cls(watched, vm, KubeClient.from_environment(str(kubeconfig)))


@pytest.fixture(scope="module")
def tenants(watched: Watched) -> Iterator[dict[str, Tenant]]:
    """Let both tenants move in at the same time."""
    cluster, severities = watched.cluster, {ACME: "Critical", BANK: "Warning"}
    made: dict[str, Tenant] = {}

    def move_in(namespace: str, events: EventLog) -> None:
        made[namespace] = Tenant.of(Watched(cluster, events, namespace=namespace), severities[namespace])

    for namespace in severities:
        watched.kubectl("create", "namespace", namespace)
    with ExitStack() as logs:
        received = {name: logs.enter_context(EventLog(cluster.control_plane.kubeconfig, name)) for name in severities}
        side_by_side([partial(move_in, *item) for item in received.items()])
        yield made
        side_by_side([tenant.vm.delete for tenant in made.values()])
    for namespace in severities:
        watched.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def acme(tenants: dict[str, Tenant]) -> Tenant:
    return tenants[ACME]


@pytest.fixture(scope="module")
def bank(tenants: dict[str, Tenant]) -> Tenant:
    return tenants[BANK]


def test_a_vm_fires_by_its_own_tenants_policy_and_only_that_tenant_is_told(acme: Tenant, bank: Tenant) -> None:
    of_acme, of_bank = told_of_vm(acme.watched, acme.vm), told_of_vm(bank.watched, bank.vm)
    of_banks_policy = Told(bank.watched, "MonitorPolicy", POLICY)

    acme.vm.pause()
    of_acme.wait(RULE, "AlertCritical")
    acme.watched.wait_alert(POLICY, acme.vm)
    seen_by_bank = bank.watched.policy(POLICY)
    bank.vm.pause()
    of_bank.wait(RULE, "AlertWarning")
    for tenant, told, fired in ((acme, of_acme, "AlertCritical"), (bank, of_bank, "AlertWarning")):
        tenant.vm.unpause()
        told.wait(RULE, fired, "AlertResolved")

    assert seen_by_bank["targets"]["virtualMachines"] == 1
    assert seen_by_bank.get("activeAlerts", []) == []
    of_banks_policy.wait(RULE, "AlertWarning", "AlertResolved")
    assert not any(ACME in note for note in of_banks_policy.notes(RULE))
    assert not any(f"{ACME}/" in event.note for event in bank.watched.events.told())


def test_a_tenant_reads_and_writes_its_own_policies_and_reads_what_is_said_of_its_vms(acme: Tenant) -> None:
    own = acme.client.get(virtwatch("monitorpolicies", namespace=ACME, name=POLICY))
    events = acme.client.get(resource(EVENTS, "events", namespace=ACME))["items"]

    assert own["status"]["conditions"]
    assert any(event["reason"] == "AlertCritical" for event in events)
    own = {key: own[key] for key in ("apiVersion", "kind", "spec")} | {
        "metadata": {"name": f"{POLICY}-too", "namespace": ACME}
    }
    path = virtwatch("monitorpolicies", namespace=ACME, name=f"{POLICY}-too")
    assert acme.client.apply(path, own, manager="tenant")["spec"]["rules"][0]["name"] == RULE


@pytest.mark.parametrize(
    "path",
    [
        virtwatch("monitorpolicies", namespace=BANK, name=POLICY),
        virtwatch("thresholdsets", namespace=BANK, name=POLICY),
        resource(EVENTS, "events", namespace=BANK),
        virtwatch("monitorpolicies"),
        virtwatch("clustermonitorpolicies"),
        virtwatch("nodemonitors", name="node-1"),
    ],
)
def test_a_tenant_reads_nothing_of_others_and_nothing_of_the_cluster(acme: Tenant, bank: Tenant, path: str) -> None:
    with pytest.raises(Forbidden):
        acme.client.get(path)
