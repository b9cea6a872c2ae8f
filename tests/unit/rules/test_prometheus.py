"""Two thousand random rules and series, with gaps and late samples, against what Prometheus 3 said of them."""

from tests.prometheus.cases import cases
from tests.prometheus.judged import NOTHING, judge
from tests.prometheus.recorded import COUNT, SEED, digest, read

ASKED = cases(SEED, COUNT)


def test_what_was_recorded_are_answers_to_these_cases() -> None:
    assert read().digest == digest(ASKED), "the generator changed: run python -m tests.prometheus.recorded"


def test_most_recorded_rules_fire_at_some_time_and_not_always() -> None:
    answers = read().answers.values()

    assert len(answers) == COUNT
    assert sum(len(set(answer)) > 1 and NOTHING in answer for answer in answers) > COUNT / 2


def test_random_rules_fire_when_they_do_in_prometheus() -> None:
    answers = read().answers

    differ = [case.number for case in ASKED if judge(case) != answers[case.number]]

    assert differ == []
