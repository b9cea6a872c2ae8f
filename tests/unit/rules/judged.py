"""One target under one rule, fed by seconds: what the tests of all kinds of rule share."""

from dataclasses import dataclass, field
from typing import Any

from virtwatch_api.policy import (
    Collection,
    Enforcement,
    PolicyKey,
    PolicyKind,
    Rule,
    RuleBody,
    Target,
)
from virtwatch_api.resolution import EffectiveRule
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator
from virtwatch_rules.inputs import Measured, Point
from virtwatch_rules.verdict import AlertName, Verdict

POLICY = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "web")
T0 = 1_700_000_000.0


def effective(
    body: RuleBody,
    *,
    name: str = "r",
    interval: float = 1.0,
    policy: PolicyKey = POLICY,
    enforcement: Enforcement = Enforcement.ENFORCE,
) -> EffectiveRule:
    rule = Rule(name, body)
    collection = Collection(interval=interval)
    thresholds = ThresholdSet(policy, "p", 1, 0.0, "h", enforcement, True, Target(), None, collection, (rule,))
    return EffectiveRule(rule, thresholds, "because")


@dataclass(frozen=True)
class Happened:
    type: str
    at: float
    attributes: dict[str, str] = field(default_factory=dict)
    inferred: bool = False


class Judged:
    """A target whose times are seconds since T0."""

    def __init__(
        self, *rules: RuleBody, interval: float = 1.0, present: bool = True, budget: WindowBudget | None = None
    ) -> None:
        self.evaluator = Evaluator(budget or WindowBudget())
        self.said: list[Verdict] = []
        if present:
            self.appear(0.0)
        if rules:
            self.apply(*rules, interval=interval)

    def apply(self, *rules: RuleBody, interval: float = 1.0, at: float = 0.0) -> list[Any]:
        named = {f"r{n}" if n else "r": body for n, body in enumerate(rules)}
        in_force = {name: effective(body, name=name, interval=interval) for name, body in named.items()}
        return self._say(self.evaluator.apply(in_force, [POLICY], at=T0 + at))

    def appear(self, at: float) -> list[Any]:
        return self._say(self.evaluator.appear(at=T0 + at))

    def see(self, at: float, /, signals: dict[Any, float | None] | None = None, **devices: float | None) -> list[Any]:
        """Give values by signal, or by (signal, device)."""
        points = [
            Point(*(key if isinstance(key, tuple) else (key, "")), value) for key, value in (signals or {}).items()
        ]
        return self.look(Measured(T0 + at, points))

    def look(self, look: Measured) -> list[Any]:
        return self._say(self.evaluator.measured(look))

    def tick(self, at: float) -> list[Any]:
        return self._say(self.evaluator.tick(at=T0 + at))

    def event(self, type_: str, at: float = 0.0, *, inferred: bool = False, **attributes: str) -> list[Any]:
        return self._say(self.evaluator.event(Happened(type_, T0 + at, attributes, inferred)))

    def vanish(self, at: float) -> list[Any]:
        return self._say(self.evaluator.vanish(at=T0 + at))

    @property
    def state(self) -> Any:
        (record,) = self.evaluator.records()
        return record.saved.state

    def _say(self, verdicts: Any) -> list[Any]:
        fresh = list(verdicts)
        self.said += fresh
        return [(item.change.action.value, item.change.reason.value) for item in fresh]


def name(rule: str = "r", device: str = "") -> AlertName:
    return AlertName(POLICY, rule, device)
