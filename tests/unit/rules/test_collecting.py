"""How a source is asked where rules want it in different ways, and which rule decides."""

from tests.integration.agent_core.scripted import policy
from virtwatch_api.catalogue.entries import Source
from virtwatch_api.policy import Mode, PolicyKey
from virtwatch_api.resolution import resolve_rules
from virtwatch_api.targets import TargetIdentity
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.collecting import differing, in_force
from virtwatch_rules.evaluator import Evaluator


def asked(*thresholds):
    evaluator = Evaluator(WindowBudget())
    rules = resolve_rules(TargetIdentity("db"), thresholds).rules
    list(evaluator.apply(rules, [item.policy for item in thresholds], at=0.0))
    return list(evaluator.asked())


def rule(name: str, signal: str = "vm.memory.rss") -> dict:
    return {"name": name, "threshold": {"signal": signal, "warning": {"above": 100}}}


def test_the_rule_that_asks_most_often_decides_and_is_named():
    calm = policy(rule("calm"), name="calm", collection={"mode": "Sampled", "interval": "30s"})
    keen = policy(rule("keen"), name="keen", collection={"mode": "Hybrid", "interval": "10s"})

    how = in_force(asked(calm, keen))[Source.KERNEL]

    assert (how.mode, how.interval) == (Mode.HYBRID, 10.0)
    assert how.because == "rule keen of ClusterMonitorPolicy keen asks for kernel each 10s"


def test_mode_continuous_looks_each_second_whatever_the_interval():
    live = policy(rule("live"), name="live", collection={"mode": "Continuous", "interval": "30s"})

    how = in_force(asked(live))[Source.KERNEL]

    assert (how.mode, how.interval) == (Mode.CONTINUOUS, 1.0)


def test_one_rule_may_decide_how_often_and_another_how():
    often = policy(rule("often"), name="often", collection={"mode": "Sampled", "interval": "5s"})
    regular = policy(rule("regular"), name="regular", collection={"mode": "Hybrid", "interval": "30s"})

    how = in_force(asked(often, regular))[Source.KERNEL]

    assert (how.mode, how.interval) == (Mode.HYBRID, 5.0)
    assert how.because.endswith("each 5s, rule regular of ClusterMonitorPolicy regular in mode Hybrid")


def test_a_policy_is_told_only_what_differs_from_what_it_wants():
    calm = policy(rule("calm"), name="calm", collection={"mode": "Sampled", "interval": "30s"})
    keen = policy(rule("keen"), name="keen", collection={"mode": "Hybrid", "interval": "10s"})
    disk = policy(rule("disk", "vm.disk.write.rate"), name="disk", collection={"mode": "Sampled", "interval": "30s"})

    told = differing(asked(calm, keen, disk))

    assert {key.name for key in told} == {"calm"}
    assert told[PolicyKey(calm.policy.kind, "calm")].interval == 10.0


def test_a_rule_that_wants_another_mode_at_the_same_interval_is_news_to_the_planner():
    sampled = policy(rule("calm"), name="calm", collection={"mode": "Sampled", "interval": "10s"})
    hybrid = policy(rule("keen"), name="keen", collection={"mode": "Hybrid", "interval": "10s"})
    evaluator, asks = Evaluator(WindowBudget()), []
    for thresholds in ((sampled,), (sampled, hybrid), (sampled,)):
        rules = resolve_rules(TargetIdentity("db"), thresholds).rules
        list(evaluator.apply(rules, [item.policy for item in thresholds], at=0.0))
        asks.append(evaluator.asks)

    assert asks == sorted(set(asks))  # each is


def test_one_rule_more_that_wants_what_others_do_is_no_news_to_the_planner():
    first = policy(rule("first"), name="first", collection={"interval": "10s"})
    second = policy(rule("second"), name="second", collection={"interval": "10s"})
    evaluator, asks = Evaluator(WindowBudget()), []
    for thresholds in ((first,), (first, second), (second,)):
        rules = resolve_rules(TargetIdentity("db"), thresholds).rules
        list(evaluator.apply(rules, [item.policy for item in thresholds], at=0.0))
        asks.append(evaluator.asks)

    assert len(set(asks)) == 1
