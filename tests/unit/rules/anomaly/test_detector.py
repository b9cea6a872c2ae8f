import json
import math
import random
import sys

import pytest

from virtwatch_rules.anomaly.detector import WARM_UP_POINTS, Detector, Score
from virtwatch_rules.anomaly.features import CHANGE, HOUR, LEVEL, RESTLESSNESS
from virtwatch_rules.anomaly.state import detector_from, document

STEP = 300.0
DAY = 288  # points


def usual(index: int, rng: random.Random) -> float:
    """Return a day's wave with noise, between 30 and 70."""
    return 50 + 15 * math.sin(index / DAY * 2 * math.pi) + rng.uniform(-5, 5)


def taught(days: int = 7, seed: int = 1) -> tuple[Detector, random.Random]:
    rng, detector = random.Random(seed), Detector()
    for index in range(days * DAY):
        detector.take(index * STEP, usual(index, rng))
    return detector, rng


def go_on(detector: Detector, values: list[float]) -> list[Score]:
    begin = detector.last
    return [detector.take(begin + (index + 1) * STEP, value) for index, value in enumerate(values)]


def test_nothing_is_scored_while_it_warms_up() -> None:
    detector = Detector()
    scores = go_on_from_zero(detector, [1.0, 100.0] * (WARM_UP_POINTS // 2))
    assert {score.score for score in scores} == {0.0}
    assert detector.warm


def go_on_from_zero(detector: Detector, values: list[float]) -> list[Score]:
    return [detector.take(index * STEP, value) for index, value in enumerate(values)]


def test_a_spike_scores_at_once_and_names_its_band() -> None:
    detector, rng = taught()
    quiet = go_on(detector, [usual(index, rng) for index in range(10)])
    spike = go_on(detector, [140.0])[0]
    assert max(score.score for score in quiet) < 0.5 < 0.9 < spike.score
    assert spike.feature in (LEVEL, CHANGE, HOUR)
    assert spike.lower is not None
    assert spike.upper is not None
    assert 25 < spike.lower < spike.upper < 80


def test_the_way_back_from_a_spike_is_no_anomaly() -> None:
    detector, rng = taught()
    go_on(detector, [140.0])
    assert max(score.score for score in go_on(detector, [usual(index, rng) for index in range(DAY)])) < 0.5


def test_usual_days_give_few_false_alarms() -> None:
    """Three weeks of usual load: at most one point in a thousand is said to be an anomaly."""
    detector, rng = taught()
    scores = go_on(detector, [usual(index, rng) for index in range(7 * DAY, 28 * DAY)])
    assert sum(score.score >= 0.5 for score in scores) <= 21 * DAY / 1000


def test_a_series_that_stands_still_is_found() -> None:
    detector, _ = taught()
    still = go_on(detector, [55.0] * 100)
    assert any(score.score >= 0.5 and score.feature == RESTLESSNESS for score in still)


def test_a_constant_series_ignores_changes_too_small_to_matter() -> None:
    detector = Detector()
    go_on_from_zero(detector, [8000.0] * 1000)
    assert go_on(detector, [8001.0])[0].score == 0.0
    assert go_on(detector, [9000.0])[0].score > 0.9


def test_a_score_never_depends_on_what_comes_later() -> None:
    rng = random.Random(4)
    values = [usual(index, rng) for index in range(3 * DAY)]
    whole = go_on_from_zero(Detector(), [*values, 500.0, 500.0])
    assert go_on_from_zero(Detector(), values) == whole[: len(values)]


def test_an_old_habit_is_forgotten() -> None:
    """What was usual two months ago does not hide an anomaly now."""
    detector, rng = taught(3)
    go_on(detector, [150.0 + rng.uniform(-5, 5) for _ in range(DAY)])
    go_on(detector, [usual(index, rng) for index in range(60 * DAY)])
    assert go_on(detector, [150.0])[0].score > 0.9


def test_hours_that_forecast_worse_than_a_plain_band_are_not_used() -> None:
    """Load that comes and goes by chance teaches the hours of the day nothing: the band is the plain one."""
    rng, detector = random.Random(3), Detector()
    for index in range(14 * DAY):
        detector.take(index * STEP, 50 + rng.choice((0, 20)) + rng.uniform(-5, 5))
    assert not detector.season.better
    quiet, busy = (detector.take(detector.last, value) for value in (50.0, 70.0))  # scored, not learned
    assert (quiet.lower, quiet.upper) == (busy.lower, busy.upper)
    assert (quiet.score, busy.score) == (0.0, 0.0)

    learned, _ = taught(14)
    assert learned.season.better


def test_without_learning_what_is_normal_stays() -> None:
    detector, _ = taught()
    begin = detector.last
    scores = [detector.take(begin + (index + 1) * STEP, 140.0, learn=False).score for index in range(50)]
    assert min(scores) > 0.9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_changes_nothing(value: float) -> None:
    detector, _ = taught(1)
    before = document(detector)
    assert detector.take(detector.last + STEP, value) == Score(0.0, None, None)
    assert document(detector) == before


def test_an_older_point_is_scored_but_not_learned() -> None:
    detector, _ = taught()
    before = document(detector)
    assert detector.take(detector.last - STEP, 140.0).score > 0.9
    assert detector.take(detector.last, 50.0).score < 0.5
    assert document(detector) == before


def test_after_a_gap_slow_means_wait_until_they_mean_something() -> None:
    detector, rng = taught()
    begin = detector.last + 3 * 86400
    scores = [detector.take(begin + index * STEP, usual(index, rng)).score for index in range(DAY)]
    assert max(scores) < 0.5


def test_a_saved_detector_goes_on_to_the_bit() -> None:
    detector, rng = taught()
    saved = json.loads(json.dumps(document(detector)))
    again = detector_from(saved)
    assert again is not None
    values = [usual(index, rng) for index in range(DAY)] + [200.0]
    assert go_on(again, values) == go_on(detector, values)


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 99},
        {"arrays": []},
        {"arrays": ["!"] * 10},
        {"counts": "no"},
        {"counts": [1, 2, 77, 4, 5]},
        {"counts": [-1, 2, 3, 4, 5]},
    ],
)
def test_a_document_that_cannot_be_read_is_refused(damage: dict[str, object]) -> None:
    detector, _ = taught(1)
    assert detector_from({**document(detector), **damage}) is None


def test_a_series_takes_less_than_4_kib() -> None:
    detector, _ = taught(2)
    assert len(json.dumps(document(detector))) < 3072
    assert _size(detector) < 4096


def _size(detector: Detector) -> int:
    parts = [detector, detector.season, detector.sequence, detector.ranges]
    fields = [getattr(part, name) for part in parts for name in part.__slots__]
    numbers = [item for field in fields if isinstance(field, list) for item in field]
    return sum(sys.getsizeof(item) for item in [*parts, *fields, *numbers] if item not in (None, True, False))


def test_a_value_whose_square_is_no_number_is_not_learned() -> None:
    detector = Detector()
    for index, value in enumerate((1e160, 1.0, -1e160, 1.0, 1e150, -1e150) * 100):
        detector.take(index * 15.0, value)
    assert detector.points == 400
    assert math.isfinite(detector.variance)
