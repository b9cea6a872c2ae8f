"""The seam by which a source of the node's readings is added: one module with a NodeSource, one line in `registry`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from virtwatch_agent.observations import Series


@dataclass(frozen=True, slots=True)
class NodeReadings:
    """Hold what one look brought; `unavailable` says, by reading, why there is no value, in a sentence."""

    values: Mapping[Series, float]
    unavailable: Mapping[str, str] = field(default_factory=dict)


class NodeSource(Protocol):
    """Read one source; how often is the plan's affair."""

    def __call__(self) -> NodeReadings:
        """Return the readings; what this node does not have is named, and never 0."""
        ...
