from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from virtwatch_agent.journal.codec import decode_alert, encode_alert
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_api.alert import (
    INACTIVE,
    Action,
    AlertKey,
    AlertState,
    Reason,
    carry_on,
    hand_over,
    interrupt,
    judge,
    resolve,
)
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity, Timing
from virtwatch_api.targets import Subject, TargetRef, vm_ref

W, C = Severity.WARNING, Severity.CRITICAL
KEY = AlertKey(
    PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier", "shop"),
    "cpu-starved",
    vm_ref("3f1c0f5e-0000-4000-8000-1"),
)

timings = st.builds(Timing, for_=st.integers(0, 40).map(float), keep_firing_for=st.integers(0, 40).map(float))
histories = st.lists(st.tuples(st.integers(0, 30), st.sampled_from([None, W, C])), max_size=40)


def _run(history, timing, *, state=INACTIVE, start=1000.0):
    """Yield (now, holds, state, change) of each judgement."""
    now = start
    for step, holds in history:
        now += step
        state, change = judge(state, holds, timing=timing, now=now, reason=Reason.BREACH)
        yield now, holds, state, change


@dataclass
class _PrometheusAlert:
    """Do for one alert what `AlertingRule.Eval` of Prometheus does, with its names."""

    hold_duration: float
    keep_firing_for: float
    state: str = "inactive"
    active_at: float = 0.0
    keep_firing_since: float | None = None

    def eval(self, ts, holds):
        if holds and self.state == "inactive":
            self.state, self.active_at, self.keep_firing_since = "pending", ts, None
        if not holds:
            keep_firing = False
            if self.state == "firing" and self.keep_firing_for > 0:
                if self.keep_firing_since is None:
                    self.keep_firing_since = ts
                keep_firing = ts - self.keep_firing_since < self.keep_firing_for
            if not keep_firing:
                self.state = "inactive"
                return
        else:
            self.keep_firing_since = None
        if self.state == "pending" and ts - self.active_at >= self.hold_duration:
            self.state = "firing"


@given(timings, histories)
@example(Timing(0, 60), [(0, C), (1, W), (30, W), (29, None), (1, None), (30, None), (29, None), (1, None)])
def test_an_alert_has_the_severity_of_the_worst_of_two_prometheus_alerts(timing, history):
    warning = _PrometheusAlert(timing.for_, timing.keep_firing_for)
    critical = _PrometheusAlert(timing.for_, timing.keep_firing_for)
    for now, holds, state, _ in _run(history, timing):
        warning.eval(now, holds is not None)
        critical.eval(now, holds is C)
        expected = C if critical.state == "firing" else W if warning.state == "firing" else None
        assert state.severity is expected
        assert state.pending is (expected is None and warning.state == "pending")


@given(timings, histories)
def test_no_severity_is_reached_before_its_level_held_for_the_whole_of_for(timing, history):
    judged = []
    for now, holds, _, change in _run(history, timing):
        judged.append((now, holds))
        if change is None or change.action not in (Action.FIRED, Action.ESCALATED):
            continue
        needed = (C,) if change.severity is C else (W, C)
        held = []
        for time, level in reversed(judged):
            if level not in needed:
                break
            held.append(time)
        assert now - held[-1] >= timing.for_


@given(timings, histories)
def test_an_alert_resolves_only_after_nothing_held_for_the_whole_of_keep_firing_for(timing, history):
    last_held = None
    for now, holds, _, change in _run(history, timing):
        if holds is not None:
            last_held = now
        if change is not None and change.action is Action.RESOLVED:
            assert holds is None
            assert now - last_held >= timing.keep_firing_for


@given(timings, histories)
def test_transitions_follow_each_other_legally_and_each_changes_the_severity(timing, history):
    legal = {
        Action.FIRED: {(None, W), (None, C)},
        Action.ESCALATED: {(W, C)},
        Action.EASED: {(C, W)},
        Action.RESOLVED: {(W, None), (C, None)},
    }
    severity, previous_change = None, None
    for _, _, state, change in _run(history, timing):
        if change is not None:
            assert (change.previous, change.severity) in legal[change.action]
            assert change.previous is severity
            assert change != previous_change
            severity, previous_change = change.severity, change
        assert state.severity is severity


@given(timings, histories)
def test_every_transition_of_one_alert_tells_the_same_since(timing, history):
    since = None
    for now, _, state, change in _run(history, timing):
        if change is None:
            continue
        if change.action is Action.FIRED:
            since = now
        assert change.since == since
        assert state.since == (None if change.action is Action.RESOLVED else since)


@given(timings, histories)
def test_what_fires_resolves_once_all_is_well_for_long_enough(timing, history):
    states = [state for _, _, state, _ in _run(history, timing)]
    changes = []
    state = states[-1] if states else INACTIVE
    for now in (10_000.0, 10_000.0 + timing.keep_firing_for, 20_000.0):
        state, change = judge(state, None, timing=timing, now=now, reason=Reason.BREACH)
        changes.append(change)
    assert state == INACTIVE
    resolved = [change for change in changes if change is not None and change.action is Action.RESOLVED]
    assert len(resolved) == (1 if states and states[-1].firing else 0)


@given(timings, histories, st.integers(0, 40))
def test_a_restart_between_two_judgements_changes_nothing(timing, history, at):
    straight = [(state, change) for _, _, state, change in _run(history, timing)]
    before = list(_run(history[:at], timing))
    now, state = (before[-1][0], before[-1][2]) if before else (1000.0, INACTIVE)
    record = AlertRecord(KEY, state, Subject("d", KEY.target, "n"), Evidence("vm.cpu.delay.ratio", 0.1, 0.05))
    restored = decode_alert(encode_alert(record))
    assert restored == record
    after = list(_run(history[at:], timing, state=restored.state, start=now))
    assert [(state, change) for _, _, state, change in before + after] == straight


@given(timings, histories, st.sampled_from([Reason.DOMAIN_STOPPED, Reason.POLICY_DELETED, Reason.NO_DATA]))
def test_ending_an_alert_says_so_if_it_fires_and_nothing_if_it_does_not(timing, history, reason):
    states = [state for _, _, state, _ in _run(history, timing)]
    state = states[-1] if states else INACTIVE
    ended, change = resolve(state, now=50_000.0, reason=reason)
    assert ended == INACTIVE
    if state.firing:
        assert (change.action, change.reason, change.previous, change.since) == (
            Action.RESOLVED,
            reason,
            state.severity,
            state.since,
        )
    else:
        assert change is None
    assert resolve(ended, now=50_001.0, reason=reason) == (INACTIVE, None)


def test_with_a_for_of_zero_an_alert_fires_at_its_first_breach():
    _, change = judge(INACTIVE, W, timing=Timing(), now=5.0, reason=Reason.EVENT)
    assert (change.action, change.reason, change.severity, change.since) == (Action.FIRED, Reason.EVENT, W, 5.0)


def test_a_clock_that_was_set_back_delays_an_alert_but_never_breaks_it():
    timing = Timing(for_=10.0)
    state, _ = judge(INACTIVE, W, timing=timing, now=100.0, reason=Reason.BREACH)
    state, change = judge(state, W, timing=timing, now=50.0, reason=Reason.BREACH)
    assert change is None
    _, change = judge(state, W, timing=timing, now=110.0, reason=Reason.BREACH)
    assert change is not None


def test_the_id_of_an_alert_never_changes():
    # Event names in clusters and journals on disk are made of it: if this fails, the code is wrong, not the test.
    assert KEY.id == "bdb4605b06974b62"
    assert (
        AlertKey(PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "all"), "r", vm_ref("u"), "vda").id == "e1085f519af1833f"
    )


_targets = st.builds(TargetRef, st.sampled_from(TargetKind), st.text("ab/N", max_size=3))
_names = st.text("ab-", max_size=3)
_policies = st.builds(PolicyKey, st.sampled_from(PolicyKind), _names, _names)


@given(
    st.lists(
        st.builds(
            AlertKey, st.builds(PolicyKey, st.sampled_from(PolicyKind), _names, _names), _names, _targets, _names
        ),
        unique=True,
        max_size=20,
    )
)
def test_different_alerts_have_different_ids(keys):
    # A namespace that is empty and one that is absent mean the same.
    assert len({key.id for key in keys}) == len(keys)


@pytest.mark.parametrize("severity", [W, C])
def test_a_severity_that_fires_is_not_fired_again(severity):
    state, _ = judge(INACTIVE, severity, timing=Timing(), now=1.0, reason=Reason.EVENT)
    again, change = judge(state, severity, timing=Timing(), now=2.0, reason=Reason.EVENT)
    assert change is None
    assert again.since == 1.0


@given(st.floats(1, 1e9))
def test_a_clock_that_steps_back_delays_an_alert_by_its_timer_at_most(step):
    timing = Timing(for_=60.0, keep_firing_for=60.0)
    pending, _ = judge(INACTIVE, W, timing=timing, now=1e9, reason=Reason.BREACH)
    now = 1e9 - step
    pending, _ = judge(pending, W, timing=timing, now=now, reason=Reason.BREACH)
    firing, fired = judge(pending, W, timing=timing, now=now + 60.0, reason=Reason.BREACH)
    assert fired is not None

    good, _ = judge(firing, None, timing=timing, now=now + 61.0, reason=Reason.BREACH)
    good, _ = judge(good, None, timing=timing, now=now - step, reason=Reason.BREACH)
    _, resolved = judge(good, None, timing=timing, now=now - step + 60.0, reason=Reason.BREACH)
    assert resolved is not None


@given(timings, histories, st.integers(0, 40), st.integers(-100_000, 100_000))
def test_a_clock_that_is_set_changes_nothing_where_the_timers_are_moved_along(timing, history, at, step):
    def told(judged):
        return [(change.action, change.severity) if change else None for _, _, _, change in judged]

    before = list(_run(history[:at], timing))
    now, state = (before[-1][0], before[-1][2]) if before else (1000.0, INACTIVE)
    after = list(_run(history[at:], timing, state=state.moved(step), start=now + step))

    assert told(before + after) == told(_run(history, timing))


def test_moving_timers_changes_no_word_on_since_when_an_alert_fires():
    assert AlertState(W, 1.0, 2.0, None, None, 5.0).moved(10.0) == AlertState(W, 1.0, 12.0, None, None, 15.0)


states = st.builds(
    AlertState,
    severity=st.none() | st.sampled_from(Severity),
    since=st.none() | st.floats(1, 100),
    warning_since=st.none() | st.floats(1, 100),
)


@given(states, states)
def test_an_alert_that_another_node_judged_before_is_as_bad_as_the_worse_and_as_old_as_the_older(here, before):
    together = carry_on(here, before)

    ranks = [state.severity.rank if state.severity else 0 for state in (here, before)]
    assert (together.severity.rank if together.severity else 0) == max(ranks)
    assert together.since == min((state.since for state in (here, before) if state.since is not None), default=None)


@given(states)
def test_what_is_carried_on_twice_is_the_same(before):
    assert carry_on(carry_on(INACTIVE, before), before) == before


def test_an_alert_that_is_handed_over_stays_as_it_is():
    change = hand_over(AlertState(Severity.CRITICAL, 5.0), now=9.0)

    assert (change.action, change.severity, change.previous, change.since) == (
        Action.HANDED_OVER,
        Severity.CRITICAL,
        Severity.CRITICAL,
        5.0,
    )


@given(timings, histories)
def test_a_gap_breaks_what_waits_and_ends_nothing_that_fires(timing, history):
    for *_, state, _ in _run(history, timing):
        after = interrupt(state)

        assert (after.severity, after.since) == (state.severity, state.since)
        assert not after.pending
        assert after.warning_good_since is after.critical_good_since is None
        assert interrupt(after) == after


@given(st.integers(1, 40), st.sampled_from([0.1, 0.25, 1.0, 2.0, 15.0]), st.floats(0, 1))
def test_for_is_over_at_its_instant_whatever_the_clock_rounds(intervals, interval, phase):
    timing = Timing(for_=intervals * interval)
    state, fired = INACTIVE, []
    for number in range(intervals + 2):
        now = 1_700_000_000 + phase + number * interval
        state, change = judge(state, W, timing=timing, now=now, reason=Reason.BREACH)
        fired += [number] if change is not None else []

    assert fired == [intervals]


@given(timings, histories)
def test_a_settled_alert_judged_alike_stays_as_it_is(timing, history):
    for now, _, state, _ in _run(history, timing):
        if state.settled:
            assert judge(state, state.holding, timing=timing, now=now + 10, reason=Reason.BREACH) == (state, None)
