# A rule that flaps: told at first, then as one alert that says so, and never left untold.
from dataclasses import dataclass

from virtwatch_agent.core.flapping import ALERT_BURST, ALERT_REFILL_S, Flapping
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_api.alert import Action, AlertKey, AlertState, Change, Reason
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, TargetRef, vm_ref

POLICY = PolicyKey(PolicyKind.MONITOR_POLICY, "web", "shop")
SUBJECT = Subject("shop_web-1", vm_ref("uuid"), "n1", "shop", "web-1", "vmi")


@dataclass
class Domain:
    uuid: str = "uuid"


REF = vm_ref("uuid")


@dataclass
class Machine:
    domain: Domain
    subject: Subject = SUBJECT
    ref: TargetRef = REF


VM = Machine(Domain())


def verdict(rule="r", *, fires, severity=Severity.CRITICAL, policy=POLICY, uuid="uuid"):
    change = (
        Change(Action.FIRED, Reason.EVENT, severity, None, 1.0, 1.0)
        if fires
        else Change(Action.RESOLVED, Reason.EVENT_CLEARED, None, severity, 1.0, 1.0)
    )
    key = AlertKey(policy, rule, vm_ref(uuid))
    return Verdict(key, change, Evidence("vm.paused"), enforced=True, effective=None)


def storm(flapping, seconds, *, rules=1, begin=0.0, **more):
    """Let each rule fire and end each second; return what was journaled."""
    reported = []
    for second in range(seconds):
        now = begin + second
        for number in range(2 * rules):
            said = verdict(f"r{number // 2}", fires=number % 2 == 0, **more)
            reported += [flapping.pass_on(VM, said, now=now)]
        reported += [item for _, item in flapping.due(now=now)]
    return [item for item in reported if item is not None]


def test_a_rule_that_flaps_each_second_costs_a_few_transitions_then_one_a_minute():
    assert len(storm(Flapping(), 600)) <= ALERT_BURST + 600 / ALERT_REFILL_S + 1


def test_a_target_that_flaps_under_many_rules_has_one_budget():
    assert len(storm(Flapping(), 60, rules=32)) <= 4 * ALERT_BURST + 32 + 5


def test_what_another_policy_or_target_does_costs_nothing():
    flapping = Flapping()
    storm(flapping, 60, rules=32)
    other = PolicyKey(PolicyKind.MONITOR_POLICY, "other", "shop")
    assert flapping.pass_on(VM, verdict(fires=True, policy=other), now=60.0) is not None
    assert flapping.pass_on(VM, verdict(fires=True, uuid="another"), now=60.0) is not None


def test_the_first_critical_of_an_alert_is_never_withheld():
    flapping = Flapping()
    storm(flapping, 60, rules=32)
    assert flapping.pass_on(VM, verdict("new", fires=True), now=60.0) is not None


def test_where_an_alert_stands_is_told_in_the_end_with_its_count():
    flapping = Flapping()
    storm(flapping, 60)
    assert flapping.pass_on(VM, verdict("r0", fires=True), now=60.0) is None
    ((_, reported),) = flapping.due(now=200.0)
    assert (reported.change.action, reported.change.previous, reported.change.severity) == (
        Action.FIRED,
        None,
        Severity.CRITICAL,
    )
    assert "; it flaps: " in reported.evidence.text
    assert " changes in " in reported.evidence.text
    assert flapping.due(now=400.0) == []


def test_the_end_of_what_was_told_is_told_though_it_flapped():
    flapping = Flapping()
    for _ in range(ALERT_BURST // 2 - 1):
        flapping.pass_on(VM, verdict(fires=True), now=0.0)
        flapping.pass_on(VM, verdict(fires=False), now=0.0)
    flapping.pass_on(VM, verdict(fires=True), now=0.0)
    flapping.pass_on(VM, verdict(fires=False), now=0.0)
    assert flapping.pass_on(VM, verdict(fires=True), now=0.0) is None
    assert flapping.due(now=1000.0)[0][1].change.action is Action.FIRED
    flapping = Flapping()
    for _ in range(ALERT_BURST - 1):
        flapping.pass_on(VM, verdict("odd", fires=True, severity=Severity.WARNING), now=0.0)
    flapping.pass_on(VM, verdict("odd", fires=True), now=0.0)
    assert flapping.pass_on(VM, verdict("odd", fires=False), now=0.0) is None
    assert [item.change.action for _, item in flapping.forget("uuid")] == [Action.RESOLVED]


def test_the_journal_keeps_an_alert_as_it_was_told():
    flapping = Flapping()
    for _ in range(ALERT_BURST):
        flapping.pass_on(VM, verdict(fires=True), now=0.0)
    flapping.pass_on(VM, verdict(fires=False), now=0.0)  # which is not told
    (record,) = flapping.unreported(VM)
    assert record.state == AlertState(severity=Severity.CRITICAL, since=1.0)
    flapping.pass_on(VM, verdict(fires=True), now=0.0)
    assert flapping.unreported(VM) == []
    stands = AlertRecord(verdict(fires=True).key, AlertState(severity=Severity.WARNING), SUBJECT, Evidence("x"))
    assert flapping.as_reported(stands).state.severity is Severity.CRITICAL
