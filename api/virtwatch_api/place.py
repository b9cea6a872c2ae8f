"""Say where a policy's ThresholdSet stands: who writes it and who believes it must agree on that and nothing else."""

from virtwatch_api.policy import PolicyKey, PolicyKind

CLUSTER_PREFIX = "cluster."


def place(key: PolicyKey, *, operator_namespace: str) -> tuple[str, str]:
    """Return the namespace and name of a policy's ThresholdSet; a cluster policy's stands beside the operator."""
    if key.kind is PolicyKind.CLUSTER_MONITOR_POLICY:
        return operator_namespace, CLUSTER_PREFIX + key.name
    return key.namespace or "", key.name


def policy_at(namespace: str, name: str, *, operator_namespace: str) -> PolicyKey:
    """Return the policy whose ThresholdSet stands in this place, whatever the ThresholdSet itself claims."""
    if namespace == operator_namespace and name.startswith(CLUSTER_PREFIX):
        return PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, name.removeprefix(CLUSTER_PREFIX))
    return PolicyKey(PolicyKind.MONITOR_POLICY, name, namespace)
