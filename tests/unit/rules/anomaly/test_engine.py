import json
import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.rules.judged import POLICY, T0, Judged
from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.policy import AnomalyRule, Severity
from virtwatch_rules.anomaly.pause import PAUSING
from virtwatch_rules.engine import Learning

CPU, NET = "vm.cpu.utilization", "vm.memory.rss"
WRITE = "vm.disk.write.rate"
RULE = AnomalyRule(Severity.WARNING, (CPU, NET), "Medium")
MINUTE, DAY = 60.0, 86400.0
WEEK = 7 * DAY


class Target:
    """A VM with days and nights, looked at once a minute."""

    def __init__(self, rule: AnomalyRule = RULE, seed: int = 3) -> None:
        self.rng = random.Random(seed)
        self.judged = Judged(rule, interval=60.0)
        self.at = 0.0

    def usual(self) -> dict[Any, float | None]:
        share = 0.4 + 0.15 * math.sin(self.at / DAY * 2 * math.pi)
        return {CPU: share + self.rng.uniform(-0.05, 0.05), NET: 2**30 * (share + self.rng.uniform(-0.05, 0.05))}

    def run(self, seconds: float, **changed: float) -> list[Any]:
        """Let time pass; `cpu` and `net` are added to what is usual."""
        said = []
        end = self.at + seconds
        while self.at < end:
            self.at += MINUTE
            values = self.usual()
            values[CPU] += changed.get("cpu", 0.0)
            values[NET] += changed.get("net", 0.0) * 2**30
            said += self.judged.see(self.at, values)
            said += self.judged.tick(self.at)
        return said

    def event(self, type_: str) -> None:
        self.judged.event(type_, self.at)

    def step(self) -> str:
        (explained,) = self.judged.evaluator.explain(at=T0 + self.at)
        return explained.next_step


@pytest.fixture(scope="module")
def week() -> Mapping[str, Any]:
    target = Target()
    assert target.run(WEEK) == []
    ((_, _, document),) = target.judged.evaluator.learned()
    return json.loads(json.dumps(document))


@pytest.fixture
def target(week: Mapping[str, Any]) -> Target:
    """A VM whose rule has learned for a week before a restart."""
    again = Target()
    again.at = WEEK
    again.judged.evaluator.teach(POLICY, "r", week)
    return again


def test_a_week_is_learned_before_the_first_finding() -> None:
    target = Target()
    target.run(3 * DAY)
    assert target.run(DAY, cpu=0.5) == []
    assert target.step() == "learns for 7 days before its first finding; 4.0 days are over"


def test_an_anomaly_fires_explains_itself_and_ends(target: Target) -> None:
    assert target.run(3600) == []
    assert target.run(900, cpu=0.4, net=0.3) == [("Fired", "Breach")]
    verdict = target.judged.said[-1]
    assert verdict.evidence.subject == CPU
    assert verdict.evidence.band is not None
    assert 0.2 < verdict.evidence.band[0] < verdict.evidence.band[1] < 0.75
    text = verdict.evidence.text
    assert text.startswith("vm.cpu.utilization is 8")
    assert "expected " in text
    assert "since 2023-11-21 2" in text
    assert "; vm.memory.rss is " in text
    assert target.run(3600) == [("Resolved", "Recovered")]


def test_an_anomaly_that_lasts_stays_one_alert_for_a_day(target: Target) -> None:
    assert target.run(12 * 3600, cpu=0.4) == [("Fired", "Breach")]
    assert target.run(13 * 3600, cpu=0.4) == [("Resolved", "Recovered")]
    assert target.run(DAY, cpu=0.4) == []


def test_what_an_alert_is_about_is_not_learned(target: Target) -> None:
    target.run(3600, cpu=0.4)
    target.run(2 * 3600)
    assert target.run(900, cpu=0.4) == [("Fired", "Breach")]


@pytest.mark.parametrize("event", ["vm.started", "vm.migration_started", "vm.paused", "vm.rebooted"])
def test_what_is_no_normal_run_is_neither_found_nor_learned(target: Target, event: str) -> None:
    target.event(event)
    assert target.run(540, cpu=0.5, net=0.4) == []
    assert target.step().startswith("does not judge while the VM ")


def test_a_boot_does_not_hide_what_lasts_longer(target: Target) -> None:
    target.event("vm.started")
    assert ("Fired", "Breach") in target.run(3600, cpu=0.5, net=0.4)


def test_the_rule_counts_its_own_findings_against_its_budget(target: Target) -> None:
    target.run(DAY)
    for _ in range(12):
        target.run(1200, cpu=0.4)
        target.run(DAY)
    fired = sum(verdict.change.action.value == "Fired" for verdict in target.judged.said)
    assert 2 <= fired < 12  # each finding raises the bound
    ((_, _, document),) = target.judged.evaluator.learned()
    assert document["findings"] == fired
    target.run(2 * DAY, cpu=0.5, net=0.5)
    assert "a week here, its budget is 0.5" in target.judged.said[-1].evidence.text


def test_how_far_a_rule_has_learned_is_known(target: Target) -> None:
    def learning(of: Target) -> Learning:
        ((_, found),) = of.judged.evaluator.learning()
        return found

    new = Target()
    new.run(1200)
    assert learning(new) == Learning(warming_up=True, judged=0.0, findings=0)
    target.run(DAY)
    target.run(1200, cpu=0.4)
    found = learning(target)
    assert (found.warming_up, found.findings) == (False, 1)
    assert found.judged == pytest.approx(DAY + 1200, rel=0.01)


def test_an_edit_keeps_what_was_learned(target: Target) -> None:
    target.run(60)
    target.judged.apply(AnomalyRule(Severity.CRITICAL, (CPU,), "High"), interval=60.0, at=target.at)
    assert target.run(900, cpu=0.4) == [("Fired", "Breach")]


def test_a_clock_that_is_set_changes_nothing_learned(target: Target) -> None:
    target.judged.evaluator.clock_set(-1800.0)
    target.at -= 1800
    assert target.run(900) == []
    assert target.run(900, cpu=0.4) == [("Fired", "Breach")]


@pytest.mark.parametrize(("saved", "bound"), [({}, "1.3"), ({"bound": 4.8}, "2.6"), ({"lowest": 1.3}, "2.4")])
def test_a_bound_of_before_low_had_another_lowest_is_scaled(
    week: Mapping[str, Any], saved: Mapping[str, Any], bound: str
) -> None:
    before = {key: value for key, value in week.items() if key != "lowest"}
    again = Target(replace(RULE, sensitivity="Low"))
    again.judged.evaluator.teach(POLICY, "r", {**before, "bound": 2.4, **saved})
    again.at = WEEK
    again.run(60)
    assert f"fires from {bound} on" in again.step()


@pytest.mark.parametrize("damage", [{"version": 9}, {"series": [[1]]}, {"begun": "x"}, {"bound": float("nan")}])
def test_what_cannot_be_read_is_learned_anew(week: Mapping[str, Any], damage: Mapping[str, Any]) -> None:
    again = Target()
    again.judged.evaluator.teach(POLICY, "r", {**week, **damage})
    assert again.run(1200, cpu=0.4) == []
    assert again.step().startswith("learns for 7 days")


def test_every_event_that_pauses_learning_is_one_that_agents_emit() -> None:
    assert {name for name in PAUSING if not EVENT[name].implemented} == set()
