"""One measured figure, and how a list of measurements becomes one."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure and the goal that it must not exceed; None where nothing was promised."""

    name: str
    value: float
    unit: str
    goal: float | None
    detail: str

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal

    def line(self) -> str:
        """Return the figure as one line of JSON."""
        return json.dumps(
            {
                "name": self.name,
                "value": round(self.value, 4),
                "unit": self.unit,
                "goal": self.goal,
                "met": self.met,
                "detail": self.detail,
            }
        )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def spread(values: Sequence[float]) -> str:
    """Say how measurements in seconds lie."""
    median, p95, worst = (percentile(values, share) for share in (0.5, 0.95, 1.0))
    return f"{len(values)} measured: median {median:.3f}, p95 {p95:.3f}, worst {worst:.3f} s"
