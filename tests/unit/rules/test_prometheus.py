"""Two thousand random rules and series, with gaps and late samples, against what Prometheus 3 said of them."""

import pytest

from tests.prometheus.cases import Case, cases
from tests.prometheus.judged import NOTHING, judge
from tests.prometheus.recorded import COUNT, SEED, digest, read


@pytest.fixture(scope="module")
def asked() -> list[Case]:
    """Make the cases where they are judged, not in each process that collects tests."""
    return cases(SEED, COUNT)


def test_what_was_recorded_are_answers_to_these_cases(asked: list[Case]) -> None:
    assert read().digest == digest(asked), "the generator changed: run python -m tests.prometheus.recorded"


def test_most_recorded_rules_fire_at_some_time_and_not_always() -> None:
    answers = read().answers.values()

    assert len(answers) == COUNT
    assert sum(len(set(answer)) > 1 and NOTHING in answer for answer in answers) > COUNT / 2


def test_random_rules_fire_when_they_do_in_prometheus(asked: list[Case]) -> None:
    answers = read().answers

    differ = [case.number for case in asked if judge(case) != answers[case.number]]

    assert differ == []
