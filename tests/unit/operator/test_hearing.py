# A watch that tells nothing: has it nothing to tell?
from virtwatch_operator.hearing import Hearing, check


def test_a_change_that_is_not_told_of_in_two_looks_is_missed_and_marked():
    hearing, marked = Hearing(), []
    hearing.heard("a", ("u", 1))
    assert check(hearing, {"a": ("u", 1)}, mark=marked.append) == ""
    assert check(hearing, {"a": ("u", 2)}, mark=marked.append) == ""
    assert not hearing.deaf
    assert "such as a" in check(hearing, {"a": ("u", 2)}, mark=marked.append)
    assert hearing.deaf
    assert marked == ["a"]
    hearing.heard("a", ("u", 2))
    assert check(hearing, {"a": ("u", 2)}, mark=marked.append) == ""
    assert not hearing.deaf


def test_changes_that_keep_coming_are_not_taken_for_one_that_is_missed():
    hearing = Hearing()
    for generation in range(1, 9):
        assert check(hearing, {"a": ("u", generation)}, mark=lambda key: None) == ""


def test_a_deletion_that_is_not_told_of_is_marked_without_alarm():
    hearing, marked = Hearing(), []
    hearing.heard("a", ("u", 1))
    for _ in range(3):
        assert check(hearing, {}, mark=marked.append) == ""
    assert marked == ["a"]
    assert not hearing.deaf
