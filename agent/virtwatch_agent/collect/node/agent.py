"""What the agent itself costs its node."""

from collections.abc import Callable

from virtwatch_agent.collect.cost import Cost
from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource


class AgentReader(NodeSource):
    """Read the agent's own cost."""

    def __init__(self, cost: Callable[[], Cost]) -> None:
        self._cost = cost

    def __call__(self) -> Found:
        """Return seconds, bytes and counts."""
        cost = self._cost()
        return Found(
            {
                ("agent.cpu", ""): cost.cpu_total,
                ("agent.memory", ""): cost.memory,
                ("agent.scan", ""): cost.scan,
                ("agent.lateness", ""): cost.lateness,
                ("agent.calls", ""): float(cost.calls),
                ("agent.calls.open", ""): float(cost.open),
            }
        )
