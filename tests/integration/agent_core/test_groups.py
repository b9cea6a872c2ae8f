"""Patterns over all VMs of a node: one alert about the node, which outlasts a restart."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import Agent, policy
from virtwatch_agent.observations import (
    Appeared,
    Disk,
    Domain,
    DomainState,
    IdentitiesChanged,
    KubernetesIdentity,
    LibvirtObject,
    ObjectsListed,
    TargetEvent,
    Volume,
)
from virtwatch_api.alert import Action
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import Pool
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.targets import pool_ref, vm_ref
from virtwatch_api.thresholdset import ThresholdSet

CRASHES = {
    "name": "crashes",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.crashed", "atLeast": 5, "by": "Node", "distinct": True}, "within": "1m"},
}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let agents wait for a disk that a busy machine delays: what they read too late they do not know."""
    monkeypatch.setattr("virtwatch_agent.journal.learned._OPEN_S", 30.0)
    monkeypatch.setattr("virtwatch_agent.journal.learned._CLOSE_S", 30.0)


def uuid(number: int) -> str:
    return f"6a1c1f0e-0000-4000-8000-{number:012d}"


def boot(agent: Agent, count: int) -> None:
    for number in range(count):
        agent.say(Appeared(Domain(uuid(number), f"db-{number}", "test", "1", DomainState.RUNNING), time.time()))


def crash(agent: Agent, number: int, *, age: float = 0.0) -> None:
    agent.say(TargetEvent("vm.crashed", vm_ref(uuid(number)), time.time() - age, {"reason": "panicked"}))


def test_five_different_vms_that_crash_within_a_minute_are_one_alert_about_the_node(agent: Agent) -> None:
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    for number in (0, 0, 0, 1, 2, 3):
        crash(agent, number)
    agent.until(lambda status: status.virtual_machines == 5)
    assert agent.status.firing == ()

    crash(agent, 4)
    status = agent.until(lambda status: bool(status.firing))

    (alert,) = status.firing
    assert str(alert.alert.target) == "Node/n1"
    assert alert.subject.described == "node n1"
    assert alert.evidence.count == 5
    assert "on 5 VMs: db-0, db-1, db-2, db-3, db-4" in alert.evidence.text
    assert [item.action for item in status.transitions] == [Action.FIRED]


def test_what_happened_before_a_restart_counts(agent: Agent) -> None:
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    for number in range(4):
        crash(agent, number)
    agent.until(lambda status: status.virtual_machines == 5)

    agent.restart()
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    agent.until(lambda status: status.virtual_machines == 5)
    agent.until_ticked()  # what was learned is taught
    crash(agent, 4)

    assert agent.until(lambda status: bool(status.firing)).firing[0].evidence.count == 5


def test_its_alert_outlasts_a_restart_and_an_edit_and_ends_with_its_rule(agent: Agent) -> None:
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    for number in range(5):
        crash(agent, number)
    since = agent.until(lambda status: bool(status.firing)).firing[0].since

    agent.restart()
    agent.judge_by(policy({**CRASHES, "runbookURL": "https://wiki.example.com/crashes"}))
    agent.until(lambda status: status.applied != ())
    assert [item.since for item in agent.status.firing] == [pytest.approx(since)]

    agent.judge_by(policy({**CRASHES, "name": "other"}))
    status = agent.until(lambda status: not status.firing)
    assert [item.action for item in status.transitions] == [Action.FIRED, Action.RESOLVED]


def test_a_tenants_pattern_counts_its_own_vms(agent: Agent) -> None:
    parsed = parse_policy(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "MonitorPolicy",
            "metadata": {"name": "web", "namespace": "shop", "uid": "p", "generation": 1},
            "spec": {
                "rules": [{**CRASHES, "pattern": {"count": {"type": "vm.crashed", "by": "Node"}, "within": "1m"}}]
            },
        }
    )
    compiled = compile_policy(parsed)
    assert isinstance(compiled, ThresholdSet), compiled
    agent.judge_by(compiled)
    agent.say(
        IdentitiesChanged(
            tuple(
                KubernetesIdentity(space, f"db-{number}", f"vmi-{number}", (f"pod-{number}",), {}, {})
                for number, space in enumerate(("shop", "bank", "bank", "shop"))
            )
        )
    )
    for number in range(4):
        domain = Domain(uuid(number), f"db-{number}", "test", "1", DomainState.RUNNING, pod_uid=f"pod-{number}")
        agent.say(Appeared(domain, time.time()))
    for number in range(3):
        crash(agent, number)
    agent.until(lambda status: status.virtual_machines == 4)
    assert agent.status.firing == ()

    crash(agent, 3)
    (alert,) = agent.until(lambda status: bool(status.firing)).firing
    assert alert.subject.namespace == "shop"
    assert alert.evidence.count == 2


BY_POOL = {
    "name": "by-pool",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.io_error", "atLeast": 2, "by": "StoragePool"}, "within": "1m"},
}


def test_an_event_is_reported_to_be_counted_in_the_pools_of_its_disks(agent: Agent) -> None:
    """The operator counts; an event of one disk counts in that disk's pool alone, one of no pool's disk nowhere."""
    agent.judge_by(policy(BY_POOL))
    fast, slow = (
        LibvirtObject(pool_ref(f"p-{name}"), name, "test", active=True, place=f"/{name}") for name in ("fast", "slow")
    )
    elsewhere = LibvirtObject(pool_ref("p-other"), "fast", "another", active=True, place="/fast")
    agent.say(ObjectsListed(TargetKind.STORAGE_POOL, "another", time.time(), (elsewhere,)))
    agent.say(ObjectsListed(TargetKind.STORAGE_POOL, "test", time.time(), (fast, slow)))
    disks = (Disk("vda", path="/fast/a.qcow2"), Disk("vdb", pool="slow"), Disk("vdc", path="/fast/deeper/c"))
    agent.say(Appeared(Domain(uuid(0), "db-0", "test", "1", DomainState.RUNNING, disks=disks), time.time()))
    for device in ("", "vdb", "vdc"):
        attributes = {"action": "pause", "device": device}
        agent.say(TargetEvent("vm.io_error", vm_ref(uuid(0)), time.time(), attributes))
    status = agent.until(lambda status: len(status.transitions) == 3)

    counted = [Pool("p-fast", "fast"), Pool("p-slow", "slow"), Pool("p-slow", "slow")]
    assert {item.action for item in status.transitions} == {Action.COUNTED}
    assert [item.pool for item in status.transitions] == counted
    assert status.firing == ()

    agent.restart()  # what was not acknowledged is in the journal
    status = agent.until(lambda status: len(status.transitions) == 3)
    assert [item.pool for item in status.transitions] == counted


def kubevirt_vm(agent: Agent, **identity: object) -> None:
    """Boot a VM of KubeVirt whose disk vda is its volume data, and vdb its volume init."""
    disks = (Disk("vda", path="/pvc/disk.img", volume="data"), Disk("vdb", path="/init.iso", volume="init"))
    booted = Domain(uuid(0), "shop_db-0", "pod", "1", DomainState.RUNNING, pod_uid="pod-0", disks=disks)
    known = KubernetesIdentity("shop", "db-0", "vmi-0", ("pod-0",), {}, {}, **identity)
    agent.say(IdentitiesChanged((known,)), Appeared(booted, time.time()))


def test_an_event_counts_in_the_storage_class_of_its_disk(agent: Agent) -> None:
    agent.judge_by(policy(BY_POOL))
    kubevirt_vm(agent, volumes={"data": Volume("db-0-data", "fast")})
    for device in ("vda", "vdb"):
        agent.say(TargetEvent("vm.io_error", vm_ref(uuid(0)), time.time(), {"action": "pause", "device": device}))
    status = agent.until(lambda status: bool(status.transitions))

    assert [item.pool for item in status.transitions] == [Pool("storageclass/fast", "fast")]


BROKEN_DISK = {"name": "broken", "severity": "Critical", "event": {"type": "vm.io_error", "where": {"action": "pause"}}}


def test_an_alert_names_the_claim_and_class_of_its_disk(agent: Agent) -> None:
    agent.judge_by(policy(BROKEN_DISK))
    kubevirt_vm(agent, volumes={"data": Volume("db-0-data", "fast")})
    agent.say(TargetEvent("vm.io_error", vm_ref(uuid(0)), time.time(), {"action": "pause", "device": "vda"}))
    (alert,) = agent.until(lambda status: bool(status.firing)).firing
    assert alert.evidence.place == "PVC db-0-data, StorageClass fast"

    agent.restart()
    (alert,) = agent.until(lambda status: bool(status.firing)).firing
    assert alert.evidence.place == "PVC db-0-data, StorageClass fast"


STOPPED = {"name": "stopped", "severity": "Warning", "event": {"type": "vm.stopped", "where": {"cause": "evicted"}}}


def test_a_vm_whose_node_is_drained_stops_as_evicted(agent: Agent) -> None:
    agent.judge_by(policy(STOPPED))
    kubevirt_vm(agent, leaving="evicted")
    agent.say(TargetEvent("vm.stopped", vm_ref(uuid(0)), time.time(), {"reason": "shutdown"}))
    agent.until(lambda status: bool(status.firing))
