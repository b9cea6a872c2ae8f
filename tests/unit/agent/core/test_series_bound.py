"""Whose bound on series counts on a target."""

from virtwatch_agent.core.series_bound import series_bound
from virtwatch_api.compile import compile_policy
from virtwatch_api.policy import PolicyKind
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.resolution import EffectiveRule

BUSY = {"name": "busy", "threshold": {"signal": "vm.memory.rss", "warning": {"above": 100}}}


def in_force(name, series, *, kind=PolicyKind.CLUSTER_MONITOR_POLICY, **spec):
    """Return a rule in force of a policy that bounds series, 0 for one that does not."""
    namespace = {"namespace": "shop"} if kind is PolicyKind.MONITOR_POLICY else {}
    collection = {"collection": {"series": series}} if series else {}
    document = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": kind.value,
        "metadata": {"name": name, "uid": name, "generation": 1, **namespace},
        "spec": {"rules": [{**BUSY, "name": name}], **collection, **spec},
    }
    thresholds = compile_policy(parse_policy(document))
    return EffectiveRule(thresholds.rules[0], thresholds, "")


def bound(*rules):
    series, policies = series_bound(rules)
    return series, {policy.name for policy in policies}


def test_the_lowest_bound_counts_and_those_that_set_it_are_named():
    assert bound() == (0, set())
    assert bound(in_force("any", 0)) == (0, set())
    rules = (in_force("wide", 200), in_force("narrow", 50), in_force("as-narrow", 50))
    assert bound(*rules) == (50, {"narrow", "as-narrow"})


def test_a_policy_that_only_observes_cuts_nothing():
    assert bound(in_force("wide", 200), in_force("trial", 5, enforcement="Observe")) == (200, {"wide"})
    assert bound(in_force("trial", 5, enforcement="Observe")) == (0, set())


def test_a_tenant_cuts_nothing_of_what_may_not_be_overridden():
    tenant = in_force("tenant", 5, kind=PolicyKind.MONITOR_POLICY)
    assert bound(in_force("base", 200), tenant) == (5, {"tenant"})
    assert bound(in_force("base", 200, overridable=False), tenant) == (200, {"base"})
    assert bound(in_force("base", 0, overridable=False), tenant) == (0, set())
    assert bound(in_force("base", 200, overridable=False), in_force("other", 100), tenant) == (100, {"other"})
