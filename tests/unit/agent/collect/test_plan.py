"""What the rules add up to where they ask for samples in different ways."""

import pytest

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


BACKUP = {"type": "vm.backup_started"}


def warns(**body):
    return {"name": next(iter(body)), "severity": "Warning", **body}


@pytest.mark.parametrize(
    "rule",
    [
        warns(event=BACKUP),
        warns(event={"type": "vm.block_job_started"}),
        warns(pattern={"sequence": [BACKUP, {"absent": ["vm.backup_completed"]}], "within": "15m"}),
        warns(pattern={"count": {**BACKUP, "by": "Node", "atLeast": 5}, "within": "1h"}),
        warns(pattern={"count": {**BACKUP, "by": "Namespace", "atLeast": 5}, "within": "1h"}),
    ],
)
def test_starts_of_jobs_are_looked_for_where_a_rule_needs_them(rule):
    assert planned(policy(rule))[0] == {Source.BLOCK_JOBS: 15.0}


def test_ends_of_jobs_cost_nothing():
    assert planned(policy(warns(event={"type": "vm.backup_completed"})))[0] == {}


def test_looks_for_jobs_do_not_stand_in_for_a_probe():
    """They give no figures, by whose absence one knows that a monitor was never asked."""
    stuck = {**warns(event={"type": "vm.telemetry_stuck"}), "name": "stuck"}

    assert planned(policy(warns(event=BACKUP), stuck))[0] == {Source.BLOCK_JOBS: 15.0, Source.BALLOON: 15.0}
