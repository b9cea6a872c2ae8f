# A watch that tells nothing: has it nothing to tell?
from virtwatch_operator.watch_check import WatchCheck, check


def test_a_change_that_is_not_told_of_in_two_looks_is_missed_and_marked():
    watch, marked = WatchCheck(), []
    watch.received("a", ("u", 1))
    assert check(watch, {"a": ("u", 1)}, mark=marked.append) == ""
    assert check(watch, {"a": ("u", 2)}, mark=marked.append) == ""
    assert not watch.stale
    assert "such as a" in check(watch, {"a": ("u", 2)}, mark=marked.append)
    assert watch.stale
    assert marked == ["a"]
    watch.received("a", ("u", 2))
    assert check(watch, {"a": ("u", 2)}, mark=marked.append) == ""
    assert not watch.stale


def test_changes_that_keep_coming_are_not_taken_for_one_that_is_missed():
    watch = WatchCheck()
    for generation in range(1, 9):
        assert check(watch, {"a": ("u", generation)}, mark=lambda key: None) == ""


def test_a_deletion_that_is_not_told_of_is_marked_without_alarm():
    watch, marked = WatchCheck(), []
    watch.received("a", ("u", 1))
    for _ in range(3):
        assert check(watch, {}, mark=marked.append) == ""
    assert marked == ["a"]
    assert not watch.stale
