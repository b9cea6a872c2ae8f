"""What one look at one source of a target brought, and what the target cannot give."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from virtwatch_agent.observations import Series


@dataclass(frozen=True, slots=True)
class Found:
    """Hold readings; `unavailable` says, by key of a reading, why there is no value, in a sentence of the catalogue."""

    values: Mapping[Series, float]
    unavailable: Mapping[str, str] = field(default_factory=dict)
