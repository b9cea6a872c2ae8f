"""A node's report in which every field is set."""

from dataclasses import replace

from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
from virtwatch_api.nodemonitor import (
    Adopted,
    AgentHealth,
    Applied,
    Condition,
    ConditionType,
    Counts,
    Evidence,
    FiringAlert,
    Move,
    NodeStatus,
    Pool,
    Replaced,
    Transition,
    Unavailable,
)
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, node_ref, vm_ref

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def full_status() -> NodeStatus:
    policy = PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier", "shop")
    alert = AlertKey(policy, "cpu-starved", vm_ref("5a6a1f0e-9a58-4b5a-8d0e-0d6c3a0e3a11"), "vda")
    subject = Subject(
        label="shop_web-1",
        target=alert.target,
        node="node-a",
        namespace="shop",
        name="web-1",
        uid="0d6c3a0e-9a58-4b5a-8d0e-5a6a1f0e3a11",
    )
    evidence = Evidence(
        "vm.cpu.utilization",
        value=1e-7,
        bound=0.1,
        text="0.9 is above 0.1",
        band=(0.05, 0.25),
        count=3,
        culprit="VM shop/db-1 (61%), process ksmd (9%)",
        place="PVC web-1-data, StorageClass fast",
        function="Avg",
    )
    plain = Subject(label="Win 10", target=vm_ref("7d6c3a0e-9a58-4b5a-8d0e-5a6a1f0e3a12"), node="node-a")
    cluster = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "defaults")
    since = 1_799_999_999.5
    state = AlertState(Severity.CRITICAL, since, since, since, since, since)
    move = Move("node-b", state, TRACEPARENT, since, {"last_at": since})
    transitions = tuple(
        Transition(
            sequence=number,
            alert=alert,
            action=action,
            reason=reason,
            severity=None if action is Action.RESOLVED else Severity.CRITICAL,
            previous=None if action is Action.FIRED else Severity.WARNING,
            at=1_800_000_000.123456,
            since=1_799_999_999.5,
            subject=subject,
            evidence=evidence,
            traceparent=TRACEPARENT,
            move=move if action is Action.HANDED_OVER else None,
            pool=Pool("p-1", "fast") if action is Action.COUNTED else None,
        )
        for number, (action, reason) in enumerate(((a, r) for r in Reason for a in Action), start=1)
    )
    busy = FiringAlert(
        AlertKey(cluster, "busy", node_ref("node-a")),
        Severity.WARNING,
        1_800_000_000.0,
        Subject("node-a", node_ref("node-a"), "node-a"),
        Evidence("node.cpu.utilization", value=0.96, bound=0.9),
    )
    return NodeStatus(
        epoch="6f1c2b",
        sequence=99,
        transitions=(*transitions[:31], replace(transitions[31], alert=busy.alert, subject=busy.subject)),
        waiting=len(transitions) - 32,
        firing=(
            FiringAlert(alert, Severity.CRITICAL, 1_799_999_999.5, subject, evidence, TRACEPARENT),
            FiringAlert(
                AlertKey(cluster, "crashed", plain.target),
                Severity.WARNING,
                1_800_000_000.0,
                plain,
                Evidence("vm.crashed"),
            ),
            busy,
        ),
        counts=Counts(1, 2, 3),
        applied=(
            Applied(
                policy,
                "0123456789abcdef",
                3,
                Counts(1, 1, 1),
                4,
                unavailable=(
                    Unavailable("memory", "vm.memory.headroom.ratio", 2, "no balloon statistics", "shop/web-1"),
                ),
                mode="Hybrid",
                interval=30.0,
                warming_up=1,
                found=3,
                judged_days=140,
                targets=4,
                replaced=(Replaced("memory", PolicyKey(PolicyKind.MONITOR_POLICY, "other", "shop"), 2),),
                cut_series=12,
                cut_targets=2,
                because="rule full of ClusterMonitorPolicy web asks for node each 5s",
            ),
            Applied(cluster, "0123456789abcde0", rejected="spec.rules[0]: an agent of this version knows no such rule"),
        ),
        virtual_machines=3,
        agent=AgentHealth(
            "0.1.0", 1_799_000_000.25, 0.012, 61_000_000, 12_345, 2, 1_800_000_001.5, 0.25, 0.1, 1.5, 0.75, 9_876, 1
        ),
        read_up_to=4711,
        adopted=(Adopted("7a1c2b.12", 98),),
        conditions=tuple(
            Condition(kind, status, "Because", "It is so.", 1_799_999_000.0, 1)
            for kind, status in zip(
                ConditionType, (True, False, None, True, True, False, True, True, False), strict=True
            )
        ),
    )
