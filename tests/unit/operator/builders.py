# Made-up transitions, reports and policies, with everything that a test does not care about filled in.
from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import (
    Acknowledged,
    AgentHealth,
    Applied,
    Counts,
    Evidence,
    FiringAlert,
    NodeMonitor,
    NodeStatus,
    Transition,
    Unavailable,
)
from virtwatch_api.policy import Enforcement, EventMatch, EventRule, PolicyKey, PolicyKind, Rule, Severity
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_operator.conditions import Finding, holds
from virtwatch_operator.nodes.trust import Trust
from virtwatch_operator.policies import InForce, PolicyFacts

AT = 1_795_000_000.25
POLICY = PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier", "shop")
CLUSTER_POLICY = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "base")
VMI = Subject(
    label="shop_web-1",
    target=vm_ref("4dea22b3-1d52-48f3-9b5a-0a7e1c5e0001"),
    node="n1",
    namespace="shop",
    name="web-1",
    uid="7f0f7d0e-vmi",
)
PLAIN = Subject(label="builder", target=vm_ref("4dea22b3-1d52-48f3-9b5a-0a7e1c5e0002"), node="n1")
CRASHED = Rule("crashed", EventRule(Severity.CRITICAL, EventMatch("vm.crashed"), (), 300.0))
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NO_ALERTS = Counts()
IN_FORCE = InForce("h1", 3, Enforcement.ENFORCE)
DELAY = Evidence("vm.cpu.delay.ratio", 0.12, 0.1, "vm.cpu.delay.ratio (Avg over 300s) is 0.12, above 0.1")


def transition(
    sequence: int = 1,
    action: Action = Action.FIRED,
    *,
    reason: Reason = Reason.BREACH,
    severity: Severity | None = Severity.CRITICAL,
    previous: Severity | None = None,
    policy: PolicyKey = POLICY,
    rule: str = "cpu-starved",
    subject: Subject = VMI,
    evidence: Evidence = DELAY,
    at: float = AT,
    traceparent: str = TRACEPARENT,
) -> Transition:
    return Transition(
        sequence=sequence,
        alert=AlertKey(policy, rule, subject.target),
        action=action,
        reason=reason,
        severity=severity,
        previous=previous,
        at=at,
        since=AT - 120,
        subject=subject,
        evidence=evidence,
        traceparent=traceparent,
    )


def firing(
    subject: Subject = VMI,
    severity: Severity = Severity.CRITICAL,
    *,
    rule: str = "cpu-starved",
    since: float = AT,
    evidence: Evidence = DELAY,
    device: str = "",
) -> FiringAlert:
    return FiringAlert(AlertKey(POLICY, rule, subject.target, device), severity, since, subject, evidence, TRACEPARENT)


def applied(
    hash_: str = "h1",
    *,
    vms: int = 2,
    counts: Counts = NO_ALERTS,
    rejected: str = "",
    unavailable: tuple[Unavailable, ...] = (),
) -> Applied:
    return Applied(POLICY, hash_, vms, counts, rejected=rejected, unavailable=unavailable, targets=vms)


def status(
    *transitions: Transition, epoch: str = "e1", firing: tuple[FiringAlert, ...] = (), applied: tuple[Applied, ...] = ()
) -> NodeStatus:
    return NodeStatus(
        epoch=epoch,
        sequence=max((item.sequence for item in transitions), default=0),
        transitions=transitions,
        waiting=0,
        firing=firing,
        counts=Counts(),
        applied=applied,
        virtual_machines=2,
        agent=AgentHealth("0.1.0", AT - 3600, 0.01, 50e6, 10, 0),
        conditions=(),
    )


def monitor(
    status: NodeStatus | None, *, node: str = "n1", uid: str = "u1", acknowledged: Acknowledged | None = None
) -> NodeMonitor:
    return NodeMonitor(node, uid, status, acknowledged, {})


def facts(
    *,
    generation: int = 3,
    accepted: Finding | None = None,
    in_force: InForce | None = IN_FORCE,
    status: dict | None = None,
    version: str = "",
    rules: int = 0,
    kind: TargetKind = TargetKind.VIRTUAL_MACHINE,
    selects: str = "",
    interval: float = 0.0,
) -> PolicyFacts:
    found = accepted or holds("Accepted", "Valid", "Valid.")
    return PolicyFacts(
        POLICY,
        "policy-uid",
        generation,
        found,
        in_force,
        status or {},
        version=version,
        rules=(CRASHED,) * rules,
        kind=kind,
        selects=selects,
        interval=interval,
    )


class Everywhere:
    """Stands in for the watch of VMIs: any VM may be on any node."""

    def is_on(self, node, *, namespace, name, uid):
        return True

    confirm = is_on

    def any_on(self, node, namespace):
        return True

    def knows(self, namespace, name):
        return True


TRUSTING = Trust(Everywhere(), exists=lambda key: True, judges=lambda policy, rule: False)
