from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtwatch_agent.judge.records import AlertRecord, old_memory
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import Domain, DomainState, Glimpse, Sample, TargetEvent
from virtwatch_api.alert import AlertKey, AlertState
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import (
    Aggregate,
    Bound,
    Collection,
    Enforcement,
    EventMatch,
    EventRule,
    Function,
    Level,
    MissingData,
    PolicyKey,
    PolicyKind,
    Rule,
    RuleBody,
    Severity,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.resolution import EffectiveRule, Resolution
from virtwatch_api.targets import vm_ref
from virtwatch_api.thresholdset import ThresholdSet

POLICY = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "web")
DB = Domain("uuid-1", "db-1", "test", "1", DomainState.RUNNING)
LEVEL = Level(Bound.ABOVE, 100.0, 100.0)
SILENCE_ENDS_IT = ThresholdRule("vm.memory.rss", Aggregate(), LEVEL, None, Timing(missing_data=MissingData.RESOLVE))
CRASH = EventRule(Severity.CRITICAL, EventMatch("vm.crashed"), (), 3600.0)
FIRING = AlertState(severity=Severity.WARNING, since=1.0, warning_since=1.0)


def resolution(body: RuleBody) -> Resolution:
    rule = Rule("r", body)
    collection = Collection(interval=1.0)
    thresholds = ThresholdSet(POLICY, "p", 1, 0.0, "h", Enforcement.ENFORCE, True, Target(), None, collection, (rule,))
    return Resolution({"r": EffectiveRule(rule, thresholds, "because")})


def restarted(*, last_event: float | None = None, absent_since: float | None = None) -> VirtualMachine:
    machine = VirtualMachine(DB, "n1")
    key = AlertKey(POLICY, "r", vm_ref("uuid-1"))
    memory = old_memory("s", last_event, absent_since)
    machine.restore(AlertRecord(key, FIRING, machine.subject, Evidence("s"), memory=memory))
    return machine


def judged(machine: VirtualMachine, sample: Sample) -> Iterator[Verdict]:
    look = machine.measure(sample, due=sample.at)
    return iter(()) if look is None else machine.judge(look, sample)


def put_in_force(machine: VirtualMachine, body: RuleBody, *, clock: float, now: float) -> list[object]:
    return list(machine.apply(resolution(body), [POLICY], now=now))


def test_time_in_which_a_vm_was_not_found_yet_is_no_silence_of_its_signals() -> None:
    machine = restarted()
    assert put_in_force(machine, SILENCE_ENDS_IT, clock=10.0, now=1010.0) == []

    machine.appear(DB, at=1000.0 + 40.0)

    assert list(machine.tick(now=1041.0)) == []
    assert [item.change.reason for item in machine.tick(now=1046.0)] == ["NoData"]


def test_a_vm_that_came_back_during_a_restart_is_not_taken_for_gone() -> None:
    machine = restarted(last_event=5000.0, absent_since=1000.0)

    machine.appear(DB, at=1000.0 + 10.0)

    assert put_in_force(machine, CRASH, clock=11.0, now=5001.0) == []
    assert list(machine.tick(now=5002.0)) == []


def test_a_vm_that_went_before_its_rules_were_known_keeps_alerts_on_events_alone() -> None:
    crashed, busy = restarted(last_event=5000.0), restarted()

    assert list(crashed.vanish(now=5001.0)) == []
    assert [item.change.reason for item in busy.vanish(now=5001.0)] == ["DomainStopped"]

    assert [record.memory["absent_since"] for record in crashed.records()] == [5001.0]
    assert list(busy.records()) == []


def test_a_repeated_appearance_does_not_hide_silence() -> None:
    machine = VirtualMachine(DB, "n1")
    machine.appear(DB, at=1000.0 + 0.0)
    put_in_force(machine, SILENCE_ENDS_IT, clock=0.0, now=1000.0)
    sample = Sample(vm_ref("uuid-1"), Source.KERNEL, "1", 0.0, 1001.0, 1.0, {("memory.rss", ""): 150.0})
    assert [item.change.action for item in judged(machine, sample)] == ["Fired"]

    machine.appear(DB, at=1000.0 + 5.0)

    assert [item.change.reason for item in machine.tick(now=1007.5)] == ["NoData"]


def test_a_signal_that_never_had_data_fires_where_missing_data_shall_alert() -> None:
    silence_fires = replace(SILENCE_ENDS_IT, timing=Timing(missing_data=MissingData.ALERT))
    machine = VirtualMachine(DB, "n1")
    put_in_force(machine, silence_fires, clock=0.0, now=1000.0)
    assert list(machine.tick(now=1009.0)) == []

    machine.appear(DB, at=1000.0 + 10.0)
    put_in_force(machine, silence_fires, clock=10.0, now=1010.0)

    assert list(machine.tick(now=1014.0)) == []
    (verdict,) = machine.tick(now=1016.5)
    assert (verdict.change.action, verdict.change.reason) == ("Fired", "NoData")
    assert verdict.evidence.text == "vm.memory.rss has had no data for 5 s"


BUSY = replace(SILENCE_ENDS_IT, timing=Timing(), aggregate=Aggregate(Function.AVG, 5.0))
PAUSE = EventRule(Severity.CRITICAL, EventMatch("vm.paused"), ("vm.resumed", "vm.stopped"), 3600.0)


def rss(value: float, *, clock: float) -> Sample:
    return Sample(vm_ref("uuid-1"), Source.KERNEL, "1", 0.0, 1000.0 + clock, clock, {("memory.rss", ""): value})


def running(body: RuleBody) -> VirtualMachine:
    machine = VirtualMachine(DB, "n1")
    machine.appear(DB, at=1000.0 + 0.0)
    put_in_force(machine, body, clock=0.0, now=1000.0)
    return machine


def received(machine: VirtualMachine, type_: str, reason: str) -> list[str]:
    event = TargetEvent(type_, vm_ref("uuid-1"), 1000.0, {"reason": reason} if reason else {})
    return [item.change.action for item in machine.event(event)]


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_rule_waits_and_holds_its_time_though_the_clock_is_set(step: float) -> None:
    timing = Timing(for_=10.0, keep_firing_for=10.0)
    machine = running(replace(BUSY, aggregate=Aggregate(), timing=timing))
    ahead = 0.0

    def see(value: float, *, clock: float) -> list[str]:
        sample = replace(rss(value, clock=clock), at=1000.0 + clock + ahead)
        return [item.change.action for item in judged(machine, sample)]

    assert see(150.0, clock=1.0) == []
    ahead += step
    machine.clock_set(step)
    assert [said for clock in range(2, 11) for said in see(150.0, clock=float(clock))] == []
    assert see(150.0, clock=11.0) == ["Fired"]

    assert see(50.0, clock=12.0) == []
    ahead += step
    machine.clock_set(step)
    assert [said for clock in range(13, 22) for said in see(50.0, clock=float(clock))] == []
    assert see(50.0, clock=22.0) == ["Resolved"]


@pytest.mark.parametrize("step", [86_400.0, -86_400.0])
def test_an_alert_on_events_lasts_its_time_though_the_clock_is_set(step: float) -> None:
    machine = running(CRASH)
    assert received(machine, "vm.crashed", "panicked") == ["Fired"]

    machine.clock_set(step)

    assert list(machine.tick(now=1000.0 + step + 3599.0)) == []
    assert [item.change.reason for item in machine.tick(now=1000.0 + step + 3600.0)] == ["Expired"]


def test_an_alert_from_before_a_restart_lasts_its_time_though_the_clock_is_set_before_its_rule_is_known() -> None:
    machine = restarted(last_event=1000.0)
    machine.appear(DB, at=1000.0 + 0.0)

    machine.clock_set(86_400.0)

    assert put_in_force(machine, CRASH, clock=1.0, now=87_401.0) == []
    assert list(machine.tick(now=87_402.0)) == []


def test_a_vm_that_migrated_in_leaves_its_alerts_their_time_though_the_clock_is_set() -> None:
    machine = running(replace(BUSY, aggregate=Aggregate()))
    received(machine, "vm.started", "migrated")

    machine.clock_set(3600.0)

    assert list(judged(machine, replace(rss(150.0, clock=14.0), at=4614.0))) == []
    assert [item.change.action for item in judged(machine, replace(rss(150.0, clock=15.0), at=4615.0))] == ["Fired"]


def test_an_alert_leaves_with_its_vm_and_takes_along_what_it_remembers() -> None:
    machine = running(BUSY)
    list(judged(machine, rss(150.0, clock=1.0)))
    (before,) = machine.records()

    (verdict,) = machine.leave("n2", now=1002.0)

    assert (verdict.change.action, verdict.change.since) == ("HandedOver", before.state.since)
    assert verdict.move is not None
    assert (verdict.move.to, verdict.move.state) == ("n2", before.state)
    assert list(machine.records()) == []


def test_an_alert_that_is_still_pending_leaves_too() -> None:
    machine = running(replace(BUSY, timing=Timing(for_=60.0)))
    list(judged(machine, rss(150.0, clock=1.0)))

    (verdict,) = machine.leave("n2", now=1002.0)

    assert verdict.change.severity is None
    assert verdict.move is not None
    assert verdict.move.state.warning_since == 1001.0


def test_an_alert_that_came_goes_on_and_does_not_end_before_its_window_is_whole() -> None:
    machine = running(BUSY)
    machine.adopt(AlertRecord(AlertKey(POLICY, "r", vm_ref("uuid-1")), FIRING, machine.subject, Evidence("s")))
    assert put_in_force(machine, BUSY, clock=0.0, now=1000.0) == []
    assert [record.state for record in machine.records()] == [FIRING]

    early = [item for clock in range(1, 5) for item in judged(machine, rss(50.0, clock=clock))]
    (whole,) = judged(machine, rss(50.0, clock=5.0))

    assert early == []
    assert (whole.change.action, whole.change.since) == ("Resolved", 1.0)


def test_a_longer_window_ends_no_alert_before_it_is_whole() -> None:
    machine = running(BUSY)
    assert [item.change.action for item in judged(machine, rss(150.0, clock=1.0))] == ["Fired"]
    longer = replace(BUSY, aggregate=Aggregate(Function.AVG, 10.0))
    assert put_in_force(machine, longer, clock=1.0, now=1001.0) == []

    early = [item for clock in range(2, 11) for item in judged(machine, rss(50.0, clock=clock))]
    (whole,) = judged(machine, rss(50.0, clock=11.0))

    assert early == []
    assert (whole.change.action, whole.change.since) == ("Resolved", 1001.0)


def test_an_edit_that_leaves_the_window_alone_ends_an_alert_as_soon_as_it_is_good() -> None:
    machine = running(BUSY)
    list(judged(machine, rss(150.0, clock=1.0)))
    put_in_force(machine, replace(BUSY, warning=Level(Bound.ABOVE, 120.0, 120.0)), clock=1.0, now=1001.0)

    assert [item.change.action for item in judged(machine, rss(50.0, clock=2.0))] == ["Resolved"]


def test_an_alert_that_came_is_worsened_at_once() -> None:
    worse = replace(BUSY, critical=Level(Bound.ABOVE, 200.0, 200.0))
    machine = running(worse)
    machine.adopt(AlertRecord(AlertKey(POLICY, "r", vm_ref("uuid-1")), FIRING, machine.subject, Evidence("s")))
    put_in_force(machine, worse, clock=0.0, now=1000.0)

    assert [item.change.action for item in judged(machine, rss(250.0, clock=1.0))] == ["Escalated"]


def test_an_alert_that_was_judged_here_already_is_as_old_as_the_one_that_came() -> None:
    machine = running(BUSY)
    assert [item.change.action for item in judged(machine, rss(150.0, clock=1.0))] == ["Fired"]

    machine.adopt(AlertRecord(AlertKey(POLICY, "r", vm_ref("uuid-1")), FIRING, machine.subject, Evidence("s")))

    assert put_in_force(machine, BUSY, clock=1.0, now=1001.0) == []
    assert [record.state.since for record in machine.records()] == [1.0]


def test_an_alert_that_came_without_a_rule_for_it_here_ends() -> None:
    machine = running(CRASH)
    machine.adopt(AlertRecord(AlertKey(POLICY, "other", vm_ref("uuid-1")), FIRING, machine.subject, Evidence("s")))

    (verdict,) = put_in_force(machine, CRASH, clock=1.0, now=1001.0)

    assert (verdict.change.action, verdict.change.reason) == ("Resolved", "PolicyChanged")  # type: ignore[attr-defined]


def test_a_rule_that_waits_for_its_time_waits_anew_after_one_good_sample() -> None:
    waiting = replace(SILENCE_ENDS_IT, timing=Timing(for_=10.0))
    machine = running(waiting)
    pending = AlertState(warning_since=1000.0)
    machine.adopt(AlertRecord(AlertKey(POLICY, "r", vm_ref("uuid-1")), pending, machine.subject, Evidence("s")))
    put_in_force(machine, waiting, clock=0.0, now=1000.0)

    assert list(judged(machine, rss(50.0, clock=9.0))) == []
    assert list(judged(machine, rss(150.0, clock=10.0))) == []


def test_what_was_seen_here_meanwhile_is_not_forgotten_for_what_came() -> None:
    machine = running(CRASH)
    assert received(machine, "vm.crashed", "panicked") == ["Fired"]
    milder = AlertState(Severity.WARNING, 1.0)

    machine.adopt(
        AlertRecord(
            AlertKey(POLICY, "r", vm_ref("uuid-1")), milder, machine.subject, Evidence("s"), memory=old_memory("s", 5.0)
        )
    )

    assert put_in_force(machine, CRASH, clock=0.0, now=1000.0) == []
    (record,) = machine.records()
    assert (record.state.severity, record.state.since, record.memory["last_at"]) == (Severity.CRITICAL, 1.0, 1000.0)
    assert record.evidence.subject == "vm.crashed"


def came(machine: VirtualMachine, rule: EventRule, device: str = "") -> list[str]:
    """Let an alert on events come after its VM; return what becomes of it at once."""
    firing = AlertState(Severity.CRITICAL, 1.0)
    key = AlertKey(POLICY, "r", vm_ref("uuid-1"), device)
    machine.adopt(AlertRecord(key, firing, machine.subject, Evidence("s"), memory=old_memory("s", 999.0)))
    return [item.change.action for item in put_in_force(machine, rule, clock=9.0, now=1009.0)]  # type: ignore[attr-defined]


def test_an_alert_that_came_late_ends_by_what_its_vm_did_here_before() -> None:
    machine = running(PAUSE)
    received(machine, "vm.started", "migrated")
    received(machine, "vm.resumed", "")

    assert came(machine, PAUSE) == ["Resolved"]
    assert list(machine.records()) == []


def test_nothing_ends_it_that_would_not_have_or_that_came_before_its_cause_came_again() -> None:
    passing, again, before = running(PAUSE), running(PAUSE), running(PAUSE)
    received(passing, "vm.resumed", "migrated")
    received(again, "vm.resumed", "")
    received(again, "vm.paused", "user")
    received(before, "vm.resumed", "")
    received(before, "vm.started", "migrated")
    left = running(PAUSE)
    received(left, "vm.resumed", "")
    list(left.leave("n3", now=1001.0))

    assert [came(machine, PAUSE) for machine in (passing, again, before, left)] == [[]] * 4


def test_its_cause_on_another_device_is_another_alerts() -> None:
    failed = EventRule(Severity.CRITICAL, EventMatch("vm.io_error"), ("vm.rebooted",), 3600.0)
    machine = running(failed)
    received(machine, "vm.rebooted", "")
    list(machine.event(TargetEvent("vm.io_error", vm_ref("uuid-1"), 1001.0, {"device": "vdb"})))

    assert came(machine, failed, "vdb") == []
    assert came(machine, failed, "vda") == ["Resolved"]


PAUSES = st.lists(
    st.sampled_from(
        [("vm.paused", "user"), ("vm.resumed", ""), ("vm.resumed", "migrated"), ("vm.paused", "migration")]
    ),
    max_size=40,
)


@given(PAUSES, st.integers(0, 40))
def test_it_does_not_matter_when_an_alert_comes_after_its_vm(turns: list[tuple[str, str]], at: int) -> None:
    early, late = running(PAUSE), running(PAUSE)
    for machine in (early, late):
        received(machine, "vm.started", "migrated")
    came(early, PAUSE)
    for number, turn in enumerate(turns):
        if number == at:
            came(late, PAUSE)
        received(early, *turn)
        received(late, *turn)
    if at >= len(turns):
        came(late, PAUSE)

    def severities(machine: VirtualMachine) -> list[Severity | None]:
        return [record.state.severity for record in machine.records()]

    assert severities(late) == severities(early)


def test_a_vm_that_migrated_in_is_judged_when_its_alerts_have_had_time_to_come() -> None:
    machine = running(replace(BUSY, aggregate=Aggregate()))
    received(machine, "vm.started", "migrated")

    assert list(judged(machine, rss(150.0, clock=14.0))) == []
    assert [item.change.action for item in judged(machine, rss(150.0, clock=15.0))] == ["Fired"]


def test_a_migration_that_took_long_leaves_its_alerts_as_much_time() -> None:
    machine = running(replace(BUSY, aggregate=Aggregate()))
    received(machine, "vm.started", "migrated")
    list(machine.event(TargetEvent("vm.resumed", vm_ref("uuid-1"), 1020.0, {"reason": "migrated"})))

    assert list(judged(machine, rss(150.0, clock=34.0))) == []
    assert [item.change.action for item in judged(machine, rss(150.0, clock=35.0))] == ["Fired"]


def test_a_vm_that_migrated_in_is_not_silent_meanwhile() -> None:
    machine = running(SILENCE_ENDS_IT)
    machine.adopt(AlertRecord(AlertKey(POLICY, "r", vm_ref("uuid-1")), FIRING, machine.subject, Evidence("s")))
    put_in_force(machine, SILENCE_ENDS_IT, clock=0.0, now=1000.0)
    received(machine, "vm.started", "migrated")

    for clock in range(1, 15):
        assert list(judged(machine, rss(50.0, clock=clock))) == []
        assert list(machine.tick(now=1000.0 + clock)) == []


def test_an_alert_of_a_vm_that_was_never_seen_ends_when_the_vm_does_not_come() -> None:
    for last_event in (None, 5000.0):
        machine = VirtualMachine(Domain("uuid-1", "db-1", "", "", DomainState.RUNNING, pod_uid=""), "n1")
        machine.adopt(
            AlertRecord(
                AlertKey(POLICY, "r", vm_ref("uuid-1")),
                FIRING,
                machine.subject,
                Evidence("s"),
                "",
                old_memory("s", last_event),
            )
        )

        assert [item.change.reason for item in machine.vanish(now=5001.0)] == ["DomainStopped"]
        assert list(machine.records()) == []


def test_an_alert_on_how_this_node_sees_a_vm_does_not_leave_with_it() -> None:
    machine = running(EventRule(Severity.WARNING, EventMatch("vm.telemetry_stuck"), ("vm.telemetry_recovered",), 60.0))
    assert received(machine, "vm.telemetry_stuck", "busy") == ["Fired"]

    (verdict,) = machine.leave("n2", now=1002.0)

    assert (verdict.change.action, verdict.change.reason) == ("Resolved", "DomainStopped")


def test_what_a_live_migration_does_is_no_pause_and_no_stop() -> None:
    machine = running(PAUSE)

    assert received(machine, "vm.paused", "migration") == []
    assert received(machine, "vm.paused", "starting") == []
    assert received(machine, "vm.paused", "user") == ["Fired"]
    assert received(machine, "vm.resumed", "migrated") == []
    assert received(machine, "vm.stopped", "migrated") == []
    assert received(machine, "vm.resumed", "") == ["Resolved"]


def test_a_rule_that_names_the_reason_hears_of_a_live_migration() -> None:
    machine = running(replace(PAUSE, event=EventMatch("vm.paused", (("reason", "migration"),))))

    assert received(machine, "vm.paused", "migration") == ["Fired"]
    assert received(machine, "vm.resumed", "migrated") == ["Resolved"]


def test_a_rule_that_names_another_reason_does_not() -> None:
    asked = EventMatch("vm.paused", (("reason", "user"),))
    machine = running(EventRule(Severity.CRITICAL, asked, ("vm.resumed",), 3600.0))
    assert received(machine, "vm.paused", "user") == ["Fired"]

    assert received(machine, "vm.resumed", "migrated") == []
    assert received(machine, "vm.resumed", "") == ["Resolved"]


SLOW = ThresholdRule("vm.disk.write.latency", Aggregate(), Level(Bound.ABOVE, 0.01, 0.01), None, Timing())


def disks(clock: float, **written: float) -> Sample:
    """Give each disk one more write per second, and seconds spent writing."""
    values = {("disk.write.operations", name): clock for name in written}
    values |= {("disk.write.time", name): seconds for name, seconds in written.items()}
    return Sample(vm_ref("uuid-1"), Source.BLOCK, "1", 0.0, 1000.0 + clock, clock, values)


def slow_disk() -> VirtualMachine:
    machine = running(SLOW)
    list(judged(machine, disks(1.0, vda=0.0, vdb=0.0)))
    assert [item.key.device for item in judged(machine, disks(2.0, vda=0.0, vdb=1.0))] == ["vdb"]
    return machine


def test_the_alert_of_a_disk_that_is_unplugged_ends() -> None:
    machine = slow_disk()

    said = [item for clock in range(3, 40) for item in judged(machine, disks(float(clock), vda=0.0))]

    assert [(item.change.action, item.change.reason) for item in said] == [("Resolved", "NoData")]
    assert said[0].evidence.text == "vm.disk.write.latency of vdb: there is no vdb any more"


def test_the_alert_of_a_disk_that_is_not_seen_for_a_moment_goes_on() -> None:
    machine = slow_disk()

    assert list(judged(machine, disks(3.0, vda=0.0))) == []
    assert list(judged(machine, disks(4.0, vda=0.0, vdb=3.0))) == []


def test_an_idle_disk_is_not_slow() -> None:
    machine = slow_disk()

    (verdict,) = judged(machine, replace(disks(2.0, vda=0.0, vdb=1.0), clock=3.0, at=1003.0))

    assert (verdict.change.action, verdict.key.device) == ("Resolved", "vdb")


def test_an_alert_that_shall_fire_without_data_is_not_ended_by_an_unplugged_disk() -> None:
    machine = running(replace(SLOW, timing=Timing(missing_data=MissingData.ALERT)))
    assert [item for clock in (1.0, 2.0) for item in judged(machine, disks(clock, vda=0.0, vdb=0.0))] == []

    said = [item for clock in range(3, 40) for item in judged(machine, disks(float(clock), vda=0.0))]
    assert [(item.change.action, item.change.reason) for item in said] == [("Fired", "NoData")]


def test_the_end_of_a_vm_ends_what_its_node_could_not_see_of_it() -> None:
    stuck = EventRule(Severity.CRITICAL, EventMatch("vm.telemetry_stuck"), ("vm.telemetry_recovered",), 3600.0)
    machine = running(stuck)
    assert received(machine, "vm.telemetry_stuck", "no answer for 9 s") == ["Fired"]
    restored = VirtualMachine(DB, "n1")
    restored.restore(next(machine.records()))

    for one in (machine, restored):
        assert [item.change.reason for item in one.vanish(now=1001.0)] == ["DomainStopped"]
        assert list(one.records()) == []


def averages(counted: list[tuple[float, float, float | None]]) -> list[float]:
    """Return the window's value after each look: (clock, CPU seconds so far, those at the glimpse 1 s before it)."""
    machine = VirtualMachine(DB, "n1")
    busy = ThresholdRule("vm.cpu.utilization", Aggregate(Function.AVG, 60.0), LEVEL, None, Timing())
    thresholds = replace(next(iter(resolution(busy).rules.values())).thresholds, collection=Collection(interval=15.0))
    effective = EffectiveRule(Rule("r", busy), thresholds, "because")
    list(machine.apply(Resolution({"r": effective}), [POLICY], now=0.0))
    machine.appear(DB, at=-15.0)
    values = []
    for clock, used, glimpsed in counted:
        before = None if glimpsed is None else Glimpse(clock - 1.0, {("cpu.time", "0"): glimpsed})
        sample = Sample(DB.target, Source.KERNEL, "1", 0.0, clock, clock, {("cpu.time", "0"): used}, before=before)
        until = None if before is None else machine.until_glimpse(sample, before, due=before.clock)
        if until is not None:
            list(machine.judge(until, sample))
        list(judged(machine, sample))
        values += [reading.value or 0.0 for reading in machine.evaluator._store.readings()]
    return values


def test_what_a_glance_led_to_counts_in_an_average_by_its_own_second() -> None:
    """The VM is busy for one second of each fifteen, and each time a glance finds it."""
    looks: list[tuple[float, float, float | None]] = [(-15.0, 0.0, None), (0.0, 0.0, None)]
    for number in range(8):
        began = 15.0 * number
        looks += [(began + 9.0, number + 1.0, float(number)), (began + 15.0, number + 1.0, None)]

    assert averages(looks)[-1] == pytest.approx(1 / 15)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 8), st.integers(0, 48)), min_size=4, max_size=6))
def test_an_average_is_the_growth_of_its_counter_by_the_time(parts: list[tuple[int, int, int]]) -> None:
    """Of each 15 s, a glimpse comes after 8 and its look after 9; the window holds four times that."""
    looks: list[tuple[float, float, float | None]] = [(-15.0, 0.0, None), (0.0, 0.0, None)]
    used = 0
    for number, (first, second, third) in enumerate(parts):  # in eighths of a second
        glimpsed, looked, used = used + first, used + first + second, used + first + second + third
        looks += [(15.0 * number + 9.0, looked / 8, glimpsed / 8), (15.0 * number + 15.0, used / 8, None)]

    grown = sum(map(sum, parts[-4:])) / 8
    assert averages(looks)[-1] == pytest.approx(grown / 60, abs=1e-6)
