"""What the rules add up to where they ask for samples in different ways."""

from tests.integration.agent_core.scripted import policy
from virtwatch_agent.collect.plan import demand, scattered
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.resolution import resolve_rules
from virtwatch_api.targets import TargetIdentity
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator

RSS = {"name": "rss", "threshold": {"signal": "vm.memory.rss", "warning": {"above": 100}}}
DISK = {"name": "disk", "threshold": {"signal": "vm.disk.write.rate", "warning": {"above": 100}}}


def planned(*thresholds):
    evaluator = Evaluator(WindowBudget())
    rules = resolve_rules(TargetIdentity("db"), thresholds).rules
    list(evaluator.apply(rules, [item.policy for item in thresholds], at=0.0))
    wanted = demand(evaluator.intervals, evaluator.event_types, exported={})
    return wanted, scattered(evaluator.asked(), wanted)


def test_what_only_sampled_rules_need_is_asked_at_random():
    sampled = policy(RSS, DISK, collection={"mode": "Sampled", "interval": "30s"})

    assert planned(sampled) == ({Source.KERNEL: 30.0, Source.BLOCK: 30.0}, {Source.KERNEL: 30.0, Source.BLOCK: 30.0})


def test_what_another_rule_needs_regularly_is_regular():
    sampled = policy(RSS, DISK, collection={"mode": "Sampled", "interval": "30s"})
    hybrid = policy({**RSS, "name": "also"}, name="other", collection={"interval": "10s"})

    assert planned(sampled, hybrid) == ({Source.KERNEL: 10.0, Source.BLOCK: 30.0}, {Source.BLOCK: 30.0})


def test_a_share_lengthens_the_time_to_the_next_turn_but_not_the_stretch():
    sampled = policy(DISK, collection={"mode": "Sampled", "interval": "30s", "share": "0.25"})

    assert planned(sampled) == ({Source.BLOCK: 120.0}, {Source.BLOCK: 30.0})
