from dataclasses import replace

import pytest

from tests.unit.rules.judged import POLICY, T0, Judged, effective
from virtwatch_api.catalogue.entries import Source
from virtwatch_api.policy import (
    Aggregate,
    Bound,
    Collection,
    Enforcement,
    EventMatch,
    EventRule,
    LabelSelector,
    Level,
    PolicyKey,
    PolicyKind,
    Rule,
    Severity,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.targets import TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.explanation import Explanation, explain

BUSY = ThresholdRule("vm.cpu.utilization", Aggregate(), Level(Bound.ABOVE, 0.9, 0.9), None, Timing(for_=60.0))
SLOW = ThresholdRule("vm.disk.write.latency", Aggregate(), Level(Bound.ABOVE, 0.02, 0.02), None, Timing())
CRASHED = EventRule(Severity.CRITICAL, EventMatch("vm.crashed"), ("vm.started",), 300.0)
WEB = TargetIdentity("web-1", "shop", {"tier": "web"})


def policy(kind: PolicyKind, name: str, *rules: Rule, **changes: object) -> ThresholdSet:
    key = PolicyKey(kind, name, "shop" if kind is PolicyKind.MONITOR_POLICY else None)
    made = effective(BUSY, policy=key).thresholds
    return replace(made, rules=rules, collection=Collection(interval=15.0), **changes)  # type: ignore[arg-type]


CLUSTER, NAMESPACED = PolicyKind.CLUSTER_MONITOR_POLICY, PolicyKind.MONITOR_POLICY
BASE = policy(CLUSTER, "base", Rule("busy", BUSY), Rule("crashed", CRASHED))


def lost(*thresholds: ThresholdSet, target: TargetIdentity = WEB) -> list[tuple[str, str]]:
    (rule,) = (rule for rule in explain(target, thresholds).rules if rule.name == "busy")
    return list(rule.lost)


@pytest.mark.parametrize(
    ("winner", "why"),
    [
        (policy(NAMESPACED, "web", Rule("busy", BUSY)), "MonitorPolicy shop/web is a MonitorPolicy, which replaces"),
        (
            policy(CLUSTER, "some", Rule("busy", BUSY), target=Target(selector=LabelSelector())),
            "ClusterMonitorPolicy some selects its targets, which is more specific",
        ),
        (policy(CLUSTER, "fixed", Rule("busy", BUSY), overridable=False), "ClusterMonitorPolicy fixed may not be"),
        (policy(CLUSTER, "old", Rule("busy", BUSY), created=-1.0), "ClusterMonitorPolicy old is older"),
        (policy(CLUSTER, "a", Rule("busy", BUSY)), "ClusterMonitorPolicy a comes first by name"),
    ],
)
def test_a_policy_that_lost_is_told_with_why(winner: ThresholdSet, why: str) -> None:
    ((name, reason),) = lost(BASE, winner)
    assert name == "base"
    assert reason.startswith(why)


def test_a_rule_that_an_annotation_switches_off_is_shown() -> None:
    target = replace(WEB, annotations={"virtwatch.io/rule.busy": "off", "virtwatch.io/rule.none": "off"})
    explained = explain(target, [BASE])
    busy = explained.rules[0]
    assert busy.in_force is None
    assert busy.why.endswith("an annotation of the target switches it off")
    assert explained.problems == ("annotation virtwatch.io/rule.none names no rule that applies to this VM",)


def test_it_says_what_is_asked_how_often_and_at_what_cost() -> None:
    explained = explain(WEB, [BASE, policy(CLUSTER, "disks", Rule("slow", SLOW))])
    asked = {question.source: question for question in explained.asked()}
    assert {source: question.every for source, question in asked.items()} == {Source.KERNEL: 15.0, Source.BLOCK: 15.0}
    assert "QEMU monitor" in asked[Source.BLOCK].cost
    assert [rule.events for rule in explained.rules] == [(), ("vm.crashed", "vm.started"), ()]


def judged(at: float) -> Explanation:
    vm = Judged(BUSY, SLOW, CRASHED, interval=15.0)
    for second in range(0, int(at) + 1, 15):
        vm.see(second, {"vm.cpu.utilization": 0.95, ("vm.disk.write.latency", "vda"): 0.003})
    rules = tuple(replace(Rule(name, body)) for name, body in (("r", BUSY), ("r1", SLOW), ("r2", CRASHED)))
    return explain(
        TargetIdentity("web-1"),
        [replace(effective(BUSY).thresholds, policy=POLICY, rules=rules)],
        evaluator=vm.evaluator,
        at=T0 + at,
    )


def test_it_says_how_a_pending_alert_stands_and_when_it_fires() -> None:
    (pending,) = judged(30).rules[0].alerts
    assert pending.state.pending
    assert pending.evidence.text == "vm.cpu.utilization is 95 %, above 90 %"
    assert pending.next_step == "fires in 30s if it stays above 90 %"


def test_it_says_the_value_of_each_device_though_all_is_well() -> None:
    (disk,) = judged(30).rules[1].alerts
    assert (disk.name.device, disk.state.firing) == ("vda", False)
    assert disk.evidence.text == "vm.disk.write.latency of vda is 3 ms, at or below 20 ms"


def test_a_policy_that_observes_is_marked() -> None:
    observed = policy(CLUSTER, "base", Rule("busy", BUSY), enforcement=Enforcement.OBSERVE)
    assert [rule.observed for rule in explain(WEB, [observed]).rules] == [True]
