"""The nine ways in which a value can be unusual, and how each is called in a finding."""

from typing import NamedTuple


class Feature(NamedTuple):
    """Describe one feature: `needs` points without a gap come before it counts, and then `weight` of its excess.

    `margin` is how far a new extreme widens the range beyond itself, as a share of the range: a slow mean would else
    set a record at each point of one and the same rise.
    """

    name: str
    needs: int
    above: str  # what a finding says when the feature is above its range
    below: str
    weight: float = 1.0
    margin: float = 0.0
    late: bool = False  # judged, and then learned, each 24 points only
    least: float = 0.0  # the narrowest range that counts, for features that have no unit


FEATURES = (
    Feature("level", 1, "a value higher than any before", "a value lower than any before"),
    Feature("short mean", 6, "a higher level", "a lower level"),
    Feature("mean", 24, "a higher level that lasts", "a lower level that lasts"),
    Feature("long mean", 72, "a slow rise", "a slow fall", late=True, margin=0.05),
    Feature("change", 7, "a steeper rise than any before", "a steeper fall than any before"),
    Feature("hour", 1, "more than is usual at this hour", "less than is usual at this hour"),
    Feature(
        "hours",
        24,
        "more for long than is usual at these hours",
        "less for long than is usual at these hours",
        weight=1 / 2,
        late=True,
    ),
    Feature("sequence", 7, "an unusual sequence of values", "a monotonous sequence of values", weight=1 / 3),
    Feature(
        "restlessness", 24, "wider swings than before", "less movement than before", weight=1 / 2, late=True, least=1.0
    ),
)
LEVEL, SHORT, MEAN, LONG, CHANGE, HOUR, HOURS, SEQUENCE, RESTLESSNESS = range(len(FEATURES))
