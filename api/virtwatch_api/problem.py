from dataclasses import dataclass
from enum import StrEnum


class ProblemReason(StrEnum):
    """Say why a value was refused, in one CamelCase word that fits a condition's `reason`."""

    INVALID = "Invalid"
    NOT_IMPLEMENTED = "NotImplemented"


@dataclass(frozen=True, slots=True)
class Problem:
    """Name one thing that is wrong: the field's path, why, and what to do, in a sentence."""

    path: str
    message: str
    reason: ProblemReason = ProblemReason.INVALID

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"
