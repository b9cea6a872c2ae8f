"""A wrong policy is refused with a sentence that says where, what and what instead."""

import pytest

from tests.policy_cases import WRONG_POLICIES, WrongPolicy, good_policy
from virtwatch_api.policy import Policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.reading import MAX_PROBLEMS


@pytest.mark.parametrize("kind", ["MonitorPolicy", "ClusterMonitorPolicy"])
def test_the_good_policies_are_read(kind):
    assert isinstance(parse_policy(good_policy(kind)), Policy)


@pytest.mark.parametrize("case", WRONG_POLICIES, ids=str)
def test_one_thing_wrong_is_one_problem_with_path_and_sentence(case: WrongPolicy):
    problems = parse_policy(case.policy)

    assert isinstance(problems, tuple)
    assert [str(problem) for problem in problems] == [case.parser]


def test_one_wrong_number_is_one_problem_and_no_consequences() -> None:
    levels = {"warning": {"above": 0.4, "recover": "0.6"}, "critical": {"above": "0.9"}}
    found = parse_policy(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "MonitorPolicy",
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"rules": [{"name": "r", "threshold": {"signal": "vm.memory.rss", **levels}}]},
        }
    )

    assert isinstance(found, tuple)
    assert [item.path for item in found] == ["spec.rules[0].threshold.warning.above"]


@pytest.mark.parametrize("version", [None, "", 1, "virtwatch.io/", "virtwatch.io/2", "virtwatch.com/v1alpha1"])
def test_a_wrong_version_is_a_problem_that_names_the_right_one(version) -> None:
    found = parse_policy({**good_policy("MonitorPolicy"), "apiVersion": version})

    assert isinstance(found, tuple)
    assert [str(item) for item in found] == ["apiVersion: must be virtwatch.io/v1alpha1"]


@pytest.mark.parametrize("kind", [None, "", 1, "ClusterMonitorPolcy"])
def test_a_wrong_kind_is_one_problem_and_no_consequences(kind) -> None:
    found = parse_policy({**good_policy("ClusterMonitorPolicy"), "kind": kind})

    assert isinstance(found, tuple)
    assert [item.path for item in found] == ["kind"]


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2", "v1beta1", "v1", "v2"])
def test_a_policy_of_a_later_version_is_read(version) -> None:
    assert isinstance(parse_policy({**good_policy("MonitorPolicy"), "apiVersion": f"virtwatch.io/{version}"}), Policy)


def test_a_document_full_of_mistakes_names_the_first_of_them() -> None:
    spec = {f"field{number}": number for number in range(20_000)}
    found = parse_policy({**good_policy("MonitorPolicy"), "spec": spec})

    assert isinstance(found, tuple)
    assert len(found) <= MAX_PROBLEMS
    assert "spec: holds 19992 more unknown fields" in [str(item) for item in found]


def test_what_a_user_wrote_cannot_move_the_cursor_of_a_terminal() -> None:
    found = parse_policy({**good_policy("MonitorPolicy"), "\x1b[2J": 1, "kind": "\x1b]0;title\x07"})

    assert isinstance(found, tuple)
    assert not any("\x1b" in str(item) or "\x07" in str(item) for item in found)
