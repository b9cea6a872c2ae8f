"""What happens at once to many VMs of a node is told by one Event on the policy and one on the Node."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context

from tests.unit.operator.builders import AT, CLUSTER_POLICY, POLICY, VMI, status, transition
from tests.unit.operator.test_announcer import FAULTS, Killed, World
from virtwatch_agent.observations import TargetEvent
from virtwatch_api.alert import Action, Reason
from virtwatch_api.nodemonitor import Acknowledged, Evidence
from virtwatch_api.policy import Severity
from virtwatch_api.targets import Subject, pool_ref, vm_ref
from virtwatch_kube.errors import Forbidden, Unavailable
from virtwatch_operator.announce.sinks import News, Origin
from virtwatch_operator.events.bodies import NOTE_BYTES
from virtwatch_operator.events.storm_bodies import THROUGH
from virtwatch_rules.event import describe_event


def vm(number, *, name="web"):
    return replace(VMI, target=vm_ref(f"uuid-{number}"), name=f"{name}-{number}", uid=f"uid-{number}")


def failing(count, *, first=1, at=AT, **more):
    return [transition(number, subject=vm(number), at=at, **more) for number in range(first, first + count)]


def ended(count, *, first, at=AT):
    return [
        transition(
            number, Action.RESOLVED, reason=Reason.RECOVERED, severity=None, subject=vm(number - first + 1), at=at
        )
        for number in range(first, first + count)
    ]


EVICTION = TargetEvent("vm.stopped", VMI.target, AT, {"reason": "shutdown", "cause": "evicted"})
EVICTED = Evidence("vm.stopped", text=describe_event(EVICTION))


def evicted(number, *, at=AT, severity=Severity.WARNING, subject=None):
    """Return that a VM was shut down by a drain, or, without a severity, that this is over."""
    action, reason = (Action.FIRED, Reason.EVENT) if severity else (Action.RESOLVED, Reason.DOMAIN_STOPPED)
    return transition(
        number,
        action,
        reason=reason,
        severity=severity,
        rule="stopped",
        subject=vm(number) if subject is None else subject,
        evidence=EVICTED,
        at=at,
    )


def told(world):
    return {body["regarding"]["kind"]: body for body in world.api.events.values()}


def test_many_vms_of_a_node_are_one_event_on_policy_and_node():
    world = World(*failing(32))
    world.announce()
    assert len(world.api.events) == 2
    assert world.api.acknowledged == Acknowledged("e1", 32)
    policy, node = told(world)["MonitorPolicy"], told(world)["Node"]
    assert policy["reason"] == node["reason"] == "AlertsCritical"
    assert policy["note"].startswith(
        "Critical: 32 alerts fire at once for 32 targets on node n1, at 2026-11-18T11:06:40Z: VM shop/web-1 "
        "(cpu-starved), VM shop/web-2 (cpu-starved), "
    )
    assert " and 22 more. " in policy["note"]
    assert policy["series"]["count"] == node["series"]["count"] == 32


def test_a_storm_over_nodes_is_told_on_the_policy_alone():
    pools = [Subject(label=f"pool-{n}", target=pool_ref(f"pool-{n}"), node="") for n in range(1, 7)]
    said = [transition(n, subject=pool, policy=CLUSTER_POLICY) for n, pool in enumerate(pools, start=1)]
    world = World()
    assert world.sink.take([News(item, Origin("", "e1", "policy-uid", "operator-0"), Context()) for item in said]) == 6
    (event,) = world.api.events.values()
    assert event["regarding"]["kind"] == "ClusterMonitorPolicy"
    assert "related" not in event
    assert event["note"].startswith(
        "Critical: 6 alerts fire at once for 6 targets, at 2026-11-18T11:06:40Z: storage pool pool-1 (cpu-starved), "
    )


def test_a_few_vms_are_told_one_by_one():
    world = World(*failing(4))
    world.announce()
    assert len(world.api.events) == 8


def test_many_alerts_of_one_vm_are_no_storm():
    world = World(*(transition(number, rule=f"r{number}", subject=vm(1)) for number in range(1, 9)))
    world.announce()
    assert len(world.api.events) == 16


def test_what_follows_in_the_same_minute_is_counted_by_the_same_event():
    world = World(*failing(32))
    world.announce()
    note = told(world)["MonitorPolicy"]["note"]
    world.status = status(*failing(20, first=33))
    world.announce()
    assert len(world.api.events) == 2
    policy = told(world)["MonitorPolicy"]
    assert (policy["series"]["count"], policy["metadata"]["annotations"][THROUGH]) == (52, "52")
    assert policy["note"] == note  # the API server lets nothing but the count be changed
    assert told(world)["Node"]["series"]["count"] == 52


def test_the_end_of_many_is_one_event_too():
    world = World(*failing(8), *ended(8, first=9))
    world.announce()
    assert (
        sorted(body["reason"] for body in world.api.events.values()) == ["AlertsCritical"] * 2 + ["AlertsResolved"] * 2
    )


def test_the_end_of_one_that_a_storm_told_is_told_though_the_budget_is_spent():
    world = World(*failing(8), *ended(1, first=9), burst=0)
    world.announce()
    assert [body["regarding"]["name"] for body in world.api.events.values() if body["reason"] == "AlertResolved"] == [
        "web-1"
    ]


def test_policies_share_the_event_on_the_node():
    mine, others = failing(6), failing(6, first=7, policy=CLUSTER_POLICY)
    world = World(*mine, *others)
    world.announcer._hand = lambda batch: world.handed.extend(
        sorted(batch, key=lambda item: item.news.transition.alert.policy != POLICY)
    )
    for part in (mine, others):
        world.status = status(*part)
        world.announce()
    assert [body["series"]["count"] for body in world.api.events.values() if body["regarding"]["kind"] == "Node"] == [
        12
    ]


def test_vms_that_a_drain_shuts_down_one_by_one_are_one_event():
    world = World()
    for number in range(1, 5):
        world.status = status(evicted(number, at=AT + 150 * number))
        world.announce()
    about = [body["regarding"] for body in world.api.events.values()]
    vms = sorted(item["name"] for item in about if item["kind"] == "VirtualMachineInstance")
    assert vms == [f"web-{number}" for number in range(1, 5)]  # each has one of its own beside
    assert len(about) == 4 + 2
    policy, node = told(world)["MonitorPolicy"], told(world)["Node"]
    assert (policy["reason"], policy["series"]["count"], node["series"]["count"]) == ("AlertsWarning", 4, 4)
    assert policy["note"].startswith(
        "Warning: alerts fire for VMs on node n1 that were evicted, as by a drain, first at 2026-11-18T11:09:10Z: "
        "VM shop/web-1 (stopped). "
    )
    assert node["note"].startswith(
        "VMs of node n1 were evicted: alerts fire, first of MonitorPolicy shop/web-tier, at "
    )


def test_the_ends_of_what_a_drain_shut_down_are_one_event_too():
    world = World()
    for number in range(1, 4):
        world.status = status(evicted(number, at=AT + 60 * number))
        world.announce()
    for number in range(4, 7):
        world.status = status(evicted(number, at=AT + 60 * number, severity=None, subject=vm(number - 3)))
        world.announce()
    found = [(body["regarding"]["kind"], body["reason"]) for body in world.api.events.values()]
    reasons = ("AlertsResolved", "AlertsWarning")
    assert sorted(found) == [(kind, reason) for kind in ("MonitorPolicy", "Node") for reason in reasons] + [
        ("VirtualMachineInstance", reason) for reason in ("AlertResolved", "AlertWarning") for _ in range(3)
    ]


def test_a_vm_stopped_by_its_user_in_a_drain_has_its_own_event():
    stopped = Evidence("vm.stopped", text="vm.stopped (cause deleted, reason shutdown)")
    world = World(evicted(1), transition(2, subject=vm(2), evidence=stopped, rule="stopped"))
    world.announce()
    assert sorted(body["regarding"]["kind"] for body in world.api.events.values()) == [
        "MonitorPolicy",
        "MonitorPolicy",
        "Node",
        "VirtualMachineInstance",
        "VirtualMachineInstance",
    ]


@pytest.mark.parametrize("names", ["x" * 250, "ü" * 120])
def test_long_names_are_cut_so_that_the_api_server_takes_the_note(names):
    world = World(*(transition(n, subject=replace(vm(n), name=f"{names}{n}")) for n in range(1, 33)))
    world.announce()
    assert len(told(world)["MonitorPolicy"]["note"].encode()) <= NOTE_BYTES


def test_a_leader_that_dies_behind_the_event_is_followed_by_one_that_tells_only_the_rest():
    world = World(*failing(10), faults=[None] * 4 + [(Killed(), "after")], begun=AT)
    with pytest.raises(Killed):
        world.announce()
    world.start()
    world.status = status(*failing(12))
    world.announce()
    assert world.api.acknowledged == Acknowledged("e1", 12)
    assert alerts(world) == dict.fromkeys(range(1, 13), 1)


def alerts(world):
    """Return how often each alert was told: by a storm's Event, by its annotation and count, or by its own."""
    found: dict[int, int] = {}
    for (_, name), body in world.api.events.items():
        if body["regarding"]["kind"] != "MonitorPolicy":
            continue
        if name.endswith(".storm"):
            last = int(body["metadata"]["annotations"][THROUGH])
            count = body.get("series", {}).get("count", 1)
            covered = range(last - count + 1, last + 1)
        else:
            covered = [int(name.split(".")[-2])]
        for number in covered:
            found[number] = found.get(number, 0) + 1
    return found


@given(st.lists(FAULTS, max_size=40), st.integers(1, 20), st.integers(1, 12))
def test_whatever_fails_or_dies_each_alert_of_a_storm_is_told_once(faults, count, listed):
    tell_through(faults, failing(count), listed=listed)


@given(st.lists(FAULTS, max_size=40), st.integers(1, 20), st.integers(1, 3))
def test_whatever_fails_or_dies_each_vm_of_a_drain_counts_once(faults, count, listed):
    tell_through(faults, [evicted(number, at=AT + 70 * number) for number in range(1, count + 1)], listed=listed)


def tell_through(faults, journal, *, listed):
    """Let leaders tell a journal whatever fails and dies; assert that each alert was told once."""
    world, count = World(faults=faults, begun=AT), len(journal)
    for _ in range(len(faults) + count + 1):
        acknowledged = world.api.acknowledged.sequence if world.api.acknowledged else 0
        waiting = journal[acknowledged:]
        if not waiting:
            break
        world.status = status(*waiting[:listed])
        try:
            world.announce()
        except (Unavailable, Forbidden):
            pass
        except Killed:
            world.start()
    assert world.api.acknowledged == Acknowledged("e1", count)
    assert alerts(world) == dict.fromkeys(range(1, count + 1), 1)
