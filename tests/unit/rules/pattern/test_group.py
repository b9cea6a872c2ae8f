import json

from tests.unit.rules.judged import T0, Happened
from virtwatch_api.policy import CountBy, CountPattern, EventMatch, PatternRule, Severity
from virtwatch_rules.pattern.group import MOST_GROUPS, GroupJudge

PAUSED = EventMatch("vm.paused", (("reason", "ioerror"),))
POOL = PatternRule(Severity.CRITICAL, CountPattern(PAUSED, 5, 60.0, CountBy.STORAGE_POOL, distinct=True))


def pause(judge: GroupJudge, at: float, member: str, group: str = "ssd") -> list[tuple[str, str]]:
    event = Happened("vm.paused", T0 + at, {"reason": "ioerror"})
    return [(item.group, item.said.change.action.value) for item in judge.event(event, group=group, member=member)]


def test_five_different_vms_of_one_pool_are_one_alert() -> None:
    judge = GroupJudge(POOL)
    assert [pause(judge, at, f"shop/db-{at}") for at in range(4)] == [[], [], [], []]
    assert pause(judge, 10, "shop/db-4", group="hdd") == []
    assert pause(judge, 20, "shop/db-4") == [("ssd", "Fired")]
    (record,) = judge.records()
    assert record[1].evidence.text == (
        "5 times vm.paused within 20s, on 5 VMs: shop/db-0, shop/db-1, shop/db-2, shop/db-3, shop/db-4"
    )
    assert [item.said.change.action.value for item in judge.tick(at=T0 + 80)] == ["Resolved"]


def test_one_vm_that_repeats_itself_is_no_pattern_of_many() -> None:
    judge = GroupJudge(POOL)
    assert [said for at in range(30) for said in pause(judge, at, "shop/db-0")] == []


def test_groups_of_which_nothing_is_left_are_dropped() -> None:
    judge = GroupJudge(POOL)
    for number in range(MOST_GROUPS + 5):
        pause(judge, 0, "shop/db", group=f"pool-{number}")
    assert judge.cut == 5
    list(judge.tick(at=T0 + 120))
    assert judge.save()["groups"] == {}


def test_groups_outlast_a_restart() -> None:
    before, after = GroupJudge(POOL), GroupJudge(POOL)
    for at in range(4):
        pause(before, at, f"shop/db-{at}")
    after.restore(json.loads(json.dumps(before.save())))
    assert pause(after, 5, "shop/db-4") == [("ssd", "Fired")]
