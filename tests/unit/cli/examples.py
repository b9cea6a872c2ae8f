"""What tests of the command show: compiled policies and a transition."""

from dataclasses import replace

from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import Evidence, FiringAlert, Transition
from virtwatch_api.policy import Policy, PolicyKey, PolicyKind, Severity
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_api.thresholdset import ThresholdSet

FIRED = Transition(
    sequence=7,
    alert=AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "cpu", "default"), "cpu", vm_ref("u1")),
    action=Action.FIRED,
    reason=Reason.BREACH,
    severity=Severity.CRITICAL,
    previous=None,
    at=1_000_090.0,
    since=1_000_090.0,
    subject=Subject("web-1", vm_ref("u1"), "node-1"),
    evidence=Evidence("vm.cpu.utilization", 0.97, 0.9, "vm.cpu.utilization is 0.97, above 0.9"),
)
FIRING = FiringAlert(FIRED.alert, Severity.CRITICAL, FIRED.since, FIRED.subject, FIRED.evidence)


def compiled(
    rule: str, *, name: str = "", names: list[str] | None = None, kind: PolicyKind = PolicyKind.MONITOR_POLICY
) -> ThresholdSet:
    """Compile a policy of one rule, in force in every namespace as the command has it."""
    threshold = {
        "signal": "vm.cpu.utilization",
        "warning": {"above": "0.7"},
        "critical": {"above": "0.9"},
        "for": "30s",
    }
    policy = parse_policy(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": kind.value,
            "metadata": {"name": name or rule},
            "spec": {"target": {"names": names or []}, "rules": [{"name": rule, "threshold": threshold}]},
        }
    )
    assert isinstance(policy, Policy), policy
    thresholds = compile_policy(policy)
    assert isinstance(thresholds, ThresholdSet), thresholds
    return replace(thresholds, namespaces=None)
