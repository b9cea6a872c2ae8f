from hypothesis import given
from hypothesis import strategies as st

from virtwatch_process.backoff import Backoff


@given(first=st.floats(0.01, 1.0), cap=st.floats(1.0, 60.0), failures=st.integers(1, 50))
def test_delays_grow_to_the_cap_and_stay_there(first, cap, failures):
    backoff = Backoff(first=first, cap=cap)
    delays = [backoff.delay() for _ in range(failures)]
    bounds = [min(first * 2**index, cap) for index in range(failures)]
    assert all(bound / 2 <= delay <= bound for delay, bound in zip(delays, bounds, strict=True))


def test_a_success_begins_anew():
    backoff = Backoff(first=1.0, cap=10.0)
    for _ in range(5):
        backoff.delay()
    backoff.reset()
    assert backoff.delay() <= 1.0


def test_two_of_a_fleet_do_not_wait_alike():
    assert len({Backoff(first=1.0, cap=10.0).delay() for _ in range(20)}) > 10
