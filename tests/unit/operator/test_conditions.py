from virtwatch_operator.conditions import fails, holds, read_conditions, settle, unknown


def test_the_time_of_a_condition_moves_when_its_status_flips_and_only_then():
    first = settle([holds("Ready", "Watching", "two")], (), generation=1, now=100)
    second = settle([holds("Ready", "Watching", "three")], first, generation=2, now=200)
    third = settle([fails("Ready", "Waiting", "one")], second, generation=2, now=300)
    fourth = settle([unknown("Ready", "Blind", "none")], third, generation=2, now=400)
    assert [item[0].since for item in (first, second, third, fourth)] == [100, 100, 300, 400]
    assert second[0].message == "three"
    assert second[0].generation == 2


def test_a_condition_that_is_not_found_any_more_goes():
    before = settle([holds("Old", "R", "m"), holds("Ready", "R", "m")], (), generation=1, now=1)
    assert [item.type for item in settle([holds("Ready", "R", "m")], before, generation=1, now=2)] == ["Ready"]


def test_a_policy_that_was_never_looked_at_has_no_conditions():
    assert read_conditions({}) == ()
