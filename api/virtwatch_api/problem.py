"""What is wrong in a document: where, why, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class ProblemReason(StrEnum):
    """Say why a value was refused, in one CamelCase word that fits a condition's `reason`."""

    INVALID = "Invalid"
    NOT_IMPLEMENTED = "NotImplemented"


@dataclass(frozen=True, slots=True)
class Problem:
    """Name one thing that is wrong: the field's path, why, and what to do, in a sentence; `subject` names the rule."""

    path: str
    message: str
    reason: ProblemReason = ProblemReason.INVALID
    subject: str = ""

    @property
    def sentence(self) -> str:
        """Return the sentence with the rule that it is about."""
        return f"{self.subject}: {self.message}" if self.subject else self.message

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"
