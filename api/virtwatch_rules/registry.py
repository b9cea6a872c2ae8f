"""Every kind of rule that this version judges: one line each."""

from typing import Any

from virtwatch_rules.engine import Engine

ENGINES: tuple[Engine, ...] = ()

_BY_BODY = {engine.body: engine for engine in ENGINES}


def engine_of(body: Any) -> Engine | None:
    """Return the engine that judges a rule's body; None when this version has none."""
    return _BY_BODY.get(type(body))
