# Which rules of a policy give way to more specific ones: without it a policy that watches nothing looks broken.
from collections import Counter
from collections.abc import Iterable

from virtwatch_api.nodemonitor import Replaced
from virtwatch_api.policy import PolicyKey
from virtwatch_operator.rollup.wording import count

_NAMED = 5


def replaced(reports: Iterable[Iterable[Replaced]]) -> tuple[str, ...]:
    """Say it in sentences: those of the most targets first, at most six."""
    targets: Counter[tuple[str, PolicyKey]] = Counter()
    for items in reports:
        for item in items:
            targets[item.rule, item.by] += item.targets
    ordered = sorted(targets.items(), key=lambda pair: (-pair[1], pair[0][0], str(pair[0][1])))
    said = [
        f"Rule {rule} gives way to that of {by.kind} {by} for {count(number, 'target')}."
        for (rule, by), number in ordered[:_NAMED]
    ]
    more = len(ordered) - _NAMED
    return (*said, f"So do {count(more, 'more rule')}.") if more > 0 else tuple(said)
