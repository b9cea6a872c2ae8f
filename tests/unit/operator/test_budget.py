from hypothesis import given
from hypothesis import strategies as st

from virtwatch_operator.events.budget import Budget


def test_a_burst_then_one_per_refill():
    budget = Budget(burst=3, refill=300)
    assert [budget.spend("vm", now=0) for _ in range(5)] == [True, True, True, False, False]
    assert not budget.spend("vm", now=299)
    assert budget.spend("vm", now=300)
    assert not budget.spend("vm", now=301)


def test_one_object_does_not_spend_what_another_has():
    budget = Budget(burst=1)
    assert budget.spend("a", now=0)
    assert budget.spend("b", now=0)
    assert not budget.spend("a", now=0)


def test_an_event_that_was_there_already_costs_nothing():
    budget = Budget(burst=1)
    assert budget.spend("vm", now=0)
    budget.refund("vm", now=0)
    budget.refund("vm", now=0)
    assert budget.spend("vm", now=0)
    assert not budget.spend("vm", now=0)


def test_forgetting_rested_objects_gives_nobody_more():
    budget = Budget(burst=2, refill=10)
    budget.spend("rested", now=0)
    budget.spend("busy", now=95)
    budget.spend("busy", now=95)
    budget.spend("new", now=100)  # drops what has rested
    assert not budget.spend("busy", now=100)
    assert [budget.spend("rested", now=100) for _ in range(3)] == [True, True, False]


@given(st.lists(st.floats(0, 100), max_size=200), st.integers(1, 30), st.floats(1, 600))
def test_no_window_ever_holds_more_than_the_budget(gaps, burst, refill):
    budget = Budget(burst=burst, refill=refill)
    now, spent = 0.0, []
    for gap in gaps:
        now += gap
        if budget.spend("vm", now=now):
            spent.append(now)
    for index, begin in enumerate(spent):
        for later, end in enumerate(spent[index:], start=1):
            assert later <= burst + (end - begin) / refill + 1e-6
