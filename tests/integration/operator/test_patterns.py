"""Patterns over the VMs of a namespace: agents report events, the operator judges, its state is in the API."""

import time
from dataclasses import replace

from tests.integration.operator.place import Place, eventually
from tests.integration.operator.stand_in import StandIn
from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.nodemonitor import Evidence, Pool
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import Subject


def together(*, within: str, by: str = "Namespace") -> dict:
    count = {"type": "vm.crashed", "atLeast": 2, "by": by, "distinct": True}
    return {"name": "together", "severity": "Critical", "pattern": {"count": count, "within": within}}


def in_force(place: Place, rule: dict) -> PolicyKey:
    """Put a rule in force: before that no agent reports anything of it."""
    key = place.policy(rule)
    eventually(lambda: place.thresholds(key), what="the ThresholdSet")
    return key


def crash(key: PolicyKey, *where: tuple[StandIn, Subject]) -> None:
    """Report crashes at once, as agents do of a rule that counts them over nodes."""
    for agent, subject in where:
        report(agent, key, subject)
    for agent, _ in where:
        eventually(agent.hear, what="the acknowledgement of what was counted")


def report(agent: StandIn, key: PolicyKey, subject: Subject, pool: Pool | None = None) -> None:
    item = agent.happen(key, Action.COUNTED, severity=None)
    agent.journal[-1] = replace(
        item,
        alert=AlertKey(key, "together", subject.target),
        reason=Reason.EVENT,
        since=round(time.time(), 6),
        subject=subject,
        evidence=Evidence("vm.crashed"),
        pool=pool,
    )
    agent.publish()


def two_nodes(place: Place) -> list[tuple[StandIn, Subject]]:
    agents = [place.agent("n1"), place.agent("n2")]
    found = [(agent, place.vmi(f"web-{number}", agent.node)) for number, agent in enumerate(agents)]
    for agent, _ in found:
        agent.publish()
    return found


def alerts(place: Place, key: PolicyKey) -> list[tuple[str, str, str]]:
    found = place.status(key).get("activeAlerts", [])
    return [(item["rule"], item["severity"], item["target"]) for item in found]


def test_what_happens_to_vms_of_two_nodes_is_one_alert_about_their_namespace(place: Place):
    operator = place.operator()
    key = in_force(place, together(within="10m"))
    first, second = two_nodes(place)
    crash(key, first)
    crash(key, first)
    assert alerts(place, key) == []

    operator.kill()  # what was counted is in the API
    place.operator()
    crash(key, second)
    eventually(lambda: alerts(place, key) == [("together", "Critical", place.name)], what="the alert")
    assert place.status(key)["alerts"]["critical"] == 1
    assert place.status(key)["activeAlerts"][0]["value"].endswith(f"on 2 VMs: {place.name}/web-0, {place.name}/web-1")
    (event,) = eventually(place.events, what="the Event")
    assert f"rule together fires for namespace {place.name}: 2 times vm.crashed within" in event["note"]


def test_its_alert_outlasts_the_operator_ends_by_time_and_is_told_once(place: Place):
    operator = place.operator()
    key = in_force(place, together(within="30s"))  # longer than a busy machine takes to start an operator
    crash(key, *two_nodes(place))
    eventually(lambda: len(place.events()) == 1, what="the Event")
    eventually(lambda: alerts(place, key), what="the alert")  # should it be over when the other one is there

    operator.kill()
    place.operator()
    eventually(lambda: alerts(place, key), what="the alert to be known still")
    eventually(lambda: alerts(place, key) == [], what="the alert to end")
    eventually(lambda: len(place.events()) == 2, what="the Event of its end")
    assert sorted(item["reason"] for item in place.events()) == ["AlertCritical", "AlertResolved"]


def test_a_rule_that_is_gone_ends_its_alert(place: Place):
    place.operator()
    key = in_force(place, together(within="10m"))
    crash(key, *two_nodes(place))
    eventually(lambda: alerts(place, key), what="the alert")

    place.policy()
    eventually(lambda: alerts(place, key) == [], what="the alert to end")


IMAGES, SCRATCH = Pool("0a6f1c1e-pool", "images"), Pool("77b0d2a4-pool", "scratch")


def test_what_happens_to_vms_of_one_pool_is_one_alert_about_the_pool(place: Place):
    operator = place.operator()
    key = in_force(place, together(within="10m", by="StoragePool"))
    (first, web_0), (second, web_1) = two_nodes(place)
    report(first, key, web_0, SCRATCH)
    report(first, key, web_0, IMAGES)
    report(first, key, web_0)  # of no pool
    eventually(first.hear, what="the acknowledgement of what was counted")
    assert alerts(place, key) == []

    operator.kill()
    place.operator()
    report(second, key, web_1, IMAGES)
    eventually(lambda: alerts(place, key) == [("together", "Critical", "images")], what="the alert")
    assert place.status(key)["activeAlerts"][0]["value"].endswith(f"on 2 VMs: {place.name}/web-0, {place.name}/web-1")
    # No object stands for a pool of several nodes: the policy's Event is the only one.
    (event,) = eventually(place.events, what="the Event")
    assert "rule together fires for storage pool images: 2 times vm.crashed within" in event["note"]
    assert event["regarding"]["name"] == key.name
    assert "related" not in event

    place.policy()
    eventually(lambda: alerts(place, key) == [], what="the alert to end with its rule")
    eventually(lambda: len(place.events()) == 2, what="the Event of its end")


def test_what_a_pattern_over_nodes_would_have_fired_is_counted_across_leaders(place: Place):
    operator = place.operator()
    key = place.policy(together(within="10m"), enforcement="Observe")
    eventually(lambda: place.thresholds(key), what="the ThresholdSet")
    crash(key, *two_nodes(place))

    def counted() -> bool:
        return place.status(key)["alerts"]["wouldHaveFired24h"] == 1

    eventually(counted, what="what would have fired to be counted")
    operator.kill()
    place.operator()
    place.policy(together(within="10m"), enforcement="Observe", collection={"interval": "20s"})
    eventually(
        lambda: place.status(key)["observedGeneration"] == 2 and counted(), what="the count to stand beside the edit"
    )
    assert alerts(place, key) == []
    assert place.events() == []
