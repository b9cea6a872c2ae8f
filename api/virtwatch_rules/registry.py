"""Every kind of rule that this version judges: one line each."""

from typing import Any

from virtwatch_rules.anomaly.engine import AnomalyEngine
from virtwatch_rules.condition import ConditionEngine
from virtwatch_rules.engine import Engine
from virtwatch_rules.event import EventEngine
from virtwatch_rules.pattern.engine import PatternEngine
from virtwatch_rules.threshold import ThresholdEngine

ENGINES: tuple[Engine, ...] = (
    ThresholdEngine(),
    ConditionEngine(),
    EventEngine(),
    PatternEngine(),
    AnomalyEngine(),
)

_BY_BODY = {engine.body: engine for engine in ENGINES}


def engine_of(body: Any) -> Engine | None:
    """Return the engine that judges a rule's body; None when this version has none."""
    return _BY_BODY.get(type(body))
