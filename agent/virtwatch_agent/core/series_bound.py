"""How many series of a target the policies in force for it let be exported. Pure."""

from collections.abc import Iterable

from virtwatch_api.policy import Enforcement, PolicyKey, PolicyKind
from virtwatch_api.resolution import EffectiveRule


def series_bound(rules: Iterable[EffectiveRule]) -> tuple[int, frozenset[PolicyKey]]:
    """Return how many series a target exports at most, 0 as many as any may, and the policies that say so.

    A policy that only observes changes nothing. Where a ClusterMonitorPolicy must not be overridden, no tenant's policy
    cuts what it exports.
    """
    known = {item.thresholds.policy: item.thresholds for item in rules}
    enforced = [item for item in known.values() if item.enforcement is Enforcement.ENFORCE]
    of_cluster = [item for item in enforced if item.policy.kind is PolicyKind.CLUSTER_MONITOR_POLICY]
    counting = of_cluster if any(not item.overridable for item in of_cluster) else enforced
    bounds = {item.policy: item.collection.series for item in counting if item.collection.series}
    least = min(bounds.values(), default=0)
    return least, frozenset(policy for policy, series in bounds.items() if series == least)
