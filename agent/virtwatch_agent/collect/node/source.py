"""The seam by which a source of the node's readings is added: one module with a NodeSource, one line in `registry`."""

from typing import Protocol

from virtwatch_agent.collect.found import Found


class NodeSource(Protocol):
    """Read one source; how often is the plan's affair."""

    def __call__(self) -> Found:
        """Return the readings; what this node does not have is named, and never 0."""
        ...
