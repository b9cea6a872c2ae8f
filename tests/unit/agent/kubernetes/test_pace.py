from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtwatch_agent.kubernetes.pace import INTERVAL_S, MAX_DELAY_S, REFRESH_S, SAVED, SHORTEST_S, Pace


def run(changes, *, until, fails=lambda now: False):
    """Play the reporter's loop on a clock of its own; return when it tried to write, and what was written last."""
    pace, now, written, newest, attempts = Pace(), 0.0, None, None, []
    changes = sorted(changes)
    while now < until:
        while changes and changes[0] <= now:
            newest = changes.pop(0)
        upcoming = changes[0] if changes else until
        if newest is None:
            now = upcoming
            continue
        wait = pace.wait(now, changed=newest != written)
        if wait > 0:
            now = min(now + wait, upcoming)
            continue
        attempts.append(now)
        if fails(now):
            pace.failed(now, retry_after=None)
        else:
            pace.wrote(now)
            written = newest
    return attempts, written


def test_the_first_change_after_a_quiet_time_is_written_at_once():
    attempts, _ = run([5.0, 30.0], until=60.0)
    assert attempts == [5.0, 30.0]


def test_a_burst_costs_three_writes():
    attempts, written = run([10.0 + index / 100 for index in range(50)], until=60.0)
    assert attempts == [10.0, 10.0 + SHORTEST_S, 10.0 + 2 * SHORTEST_S]
    assert written == 10.49


def test_an_end_that_soon_follows_its_begin_does_not_wait_for_the_interval():
    attempts, _ = run([10.0, 10.3, 12.0, 12.3, 15.0, 15.3], until=60.0)
    assert attempts == [10.0, 10.3, 12.0, 12.3, 15.0, 15.3]


@given(st.lists(st.floats(0.0, 60.0), min_size=1, max_size=200))
def test_writes_keep_their_distance_and_the_newest_always_gets_through(changes):
    attempts, written = run(changes, until=70.0)
    assert all(later - earlier >= SHORTEST_S - 1e-9 for earlier, later in pairwise(attempts))
    for first, earlier in enumerate(attempts):
        for number, later in enumerate(attempts[first:], start=1):
            assert number <= SAVED + (later - earlier) / INTERVAL_S + 1e-6
    assert written == max(changes)


@given(st.lists(st.floats(0.0, 300.0), min_size=1, max_size=100))
def test_an_outage_is_survived_without_a_flood(changes):
    attempts, written = run(changes, until=400.0, fails=lambda now: 60.0 < now < 240.0)
    during = [at for at in attempts if 60.0 < at < 240.0]
    assert len(during) <= 6 + (240 - 60) / (MAX_DELAY_S / 2)
    assert written == max(changes)


def test_unchanged_it_is_written_again_every_five_minutes_or_so():
    attempts, _ = run([0.0], until=3600.0)
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert len(gaps) >= 9
    assert all(0.8 * REFRESH_S <= gap <= 1.2 * REFRESH_S for gap in gaps)
    assert len(set(gaps)) > 1


def test_the_delay_after_failures_grows_to_fifteen_seconds():
    pace, now, delays = Pace(), 0.0, []
    for _ in range(20):
        pace.failed(now, retry_after=None)
        delays.append(pace.wait(now, changed=True))
        now += delays[-1]
    assert delays[0] <= INTERVAL_S
    assert all(MAX_DELAY_S / 2 <= delay <= MAX_DELAY_S for delay in delays[5:])


def test_what_the_server_asks_for_is_waited_for():
    pace = Pace()
    pace.failed(0.0, retry_after=40.0)
    assert 40.0 <= pace.wait(0.0, changed=True) <= 48.0


def test_a_server_that_asks_for_a_day_does_not_get_it():
    pace = Pace()
    pace.failed(0.0, retry_after=86_400.0)
    assert pace.wait(0.0, changed=True) <= 360.0


def test_a_write_after_failures_ends_the_waiting():
    pace = Pace()
    for _ in range(10):
        pace.failed(0.0, retry_after=None)
    pace.wrote(100.0)
    assert pace.wait(100.0, changed=True) == pytest.approx(SHORTEST_S)


def test_a_new_nodemonitor_is_written_at_once():
    pace = Pace()
    pace.failed(0.0, retry_after=100.0)
    pace.hurry(5.0)
    assert pace.wait(5.0, changed=False) == 0.0


def stands(pace, now):
    """Write how things stand as soon as it may be; return the seconds until then."""
    wait = pace.wait(now, changed=True, urgent=False)
    pace.wrote(now + wait)
    return wait


def test_the_more_often_how_things_stand_changes_the_longer_it_waits():
    pace, now, waits = Pace(), 0.0, []
    for _ in range(8):
        waits.append(stands(pace, now))
        now += waits[-1]
    assert waits == [0, 1, 2, 4, 8, 15, 15, 15]


def test_alerts_make_nobody_wait_for_how_a_policy_stands():
    """Else a policy that is applied where alerts come and go would be Ready only after 15 s."""
    pace = Pace()
    for second in range(0, 60, 5):
        pace.wrote(float(second), urgent=True)
        assert stands(pace, second + 2.0) <= INTERVAL_S
