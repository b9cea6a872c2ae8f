# A cursor over untrusted YAML or JSON that collects every problem instead of raising at the first.
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, TypeVar

from virtwatch_api.duration import format_duration, parse_duration
from virtwatch_api.problem import Problem, ProblemReason
from virtwatch_api.quantity import parse_quantity

E = TypeVar("E", bound=StrEnum)


class Cursor:
    """Read one value of a document, knowing its path; problems of all cursors of a document go into one list."""

    def __init__(self, value: Any, path: str, problems: list[Problem]) -> None:
        self.value = value
        self.path = path
        self._problems = problems

    def problem(self, message: str, reason: ProblemReason = ProblemReason.INVALID) -> None:
        """Record what is wrong here."""
        self._problems.append(Problem(self.path, message, reason))

    def has(self, name: str) -> bool:
        """Tell whether a field is present."""
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def __getitem__(self, name: str) -> "Cursor":
        value = self.value.get(name) if isinstance(self.value, dict) else None
        return Cursor(value, f"{self.path}.{name}" if self.path else name, self._problems)

    def mapping(self, *known: str) -> bool:
        """Check that this is a mapping with known fields only; an unknown field is a typing error worth a sentence."""
        if not isinstance(self.value, dict):
            self.problem(f"must be a mapping, not {_kind(self.value)}")
            return False
        for name in self.value:
            if name not in known:
                self[str(name)].problem(f"unknown field; known here: {', '.join(known)}")
        return True

    def items(self, *, at_most: int, at_least: int = 0) -> Iterator["Cursor"]:
        """Walk a list within its bounds."""
        if self.value is None and at_least == 0:
            return
        if not isinstance(self.value, list):
            self.problem(f"must be a list, not {_kind(self.value)}")
            return
        if not at_least <= len(self.value) <= at_most:
            self.problem(f"must have between {at_least} and {at_most} items, has {len(self.value)}")
        for index, item in enumerate(self.value[:at_most]):
            yield Cursor(item, f"{self.path}[{index}]", self._problems)

    def text(self, default: str = "", *, at_most: int = 253, check: Callable[[str], str | None] | None = None) -> str:
        """Read a string; `check` returns a sentence for a bad one."""
        if self.value is None and default:
            return default
        if not isinstance(self.value, str) or not self.value:
            hint = "; quote it" if isinstance(self.value, bool | int | float) else ""
            self.problem(f"must be a non-empty string, not {_kind(self.value)}{hint}")
            return default
        if len(self.value) > at_most:
            self.problem(f"must have at most {at_most} characters, has {len(self.value)}")
            return default
        if check is not None and (message := check(self.value)):
            self.problem(message)
        return self.value

    def choice(self, values: type[E], default: E | None = None) -> E:
        """Read one of an enumeration's words."""
        if self.value is None and default is not None:
            return default
        try:
            return values(self.value)
        except ValueError:
            self.problem(f"must be one of {', '.join(values)}, not {_kind(self.value)}")
            return default if default is not None else next(iter(values))

    def duration(self, default: float, *, at_least: float = 0.0, at_most: float = 86_400.0) -> float:
        """Read a duration in seconds within bounds, which are seconds too."""
        if self.value is None:
            return default
        bounds = f"from {format_duration(at_least)} to {format_duration(at_most)}"
        sentence = f'must be a duration {bounds}, for example "90s", "2m" or "1h"'
        return self._number(self.value, parse_duration, default, at_least=at_least, at_most=at_most, sentence=sentence)

    def quantity(
        self, default: float = 0.0, *, at_least: float = float("-inf"), at_most: float = float("inf")
    ) -> float:
        """Read a quantity; integers may stand without quotes, other numbers must be quoted."""
        whole = isinstance(self.value, int) and not isinstance(self.value, bool)
        text = str(self.value) if whole else self.value
        if at_most < float("inf"):
            sentence = f'must be a number from {at_least:g} to {at_most:g}, for example "0.25"'
        else:
            sentence = 'must be a number such as 5, "0.05", "250m" or "1Mi" (quoted unless whole)'
        return self._number(text, parse_quantity, default, at_least=at_least, at_most=at_most, sentence=sentence)

    def integer(self, default: int, *, at_least: int, at_most: int) -> int:
        """Read a whole number within bounds."""
        if self.value is None:
            return default
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not at_least <= self.value <= at_most:
            self.problem(f"must be a whole number from {at_least} to {at_most}, not {_kind(self.value)}")
            return default
        return self.value

    def boolean(self, *, default: bool) -> bool:
        """Read true or false."""
        if self.value is None:
            return default
        if not isinstance(self.value, bool):
            self.problem(f"must be true or false, not {_kind(self.value)}")
            return default
        return self.value

    def _number(
        self,
        text: Any,
        parse: Callable[[str], float],
        default: float,
        *,
        at_least: float,
        at_most: float,
        sentence: str,
    ) -> float:
        try:
            number = parse(text) if isinstance(text, str) else None
        except ValueError:
            number = None
        if number is None or not at_least <= number <= at_most:
            self.problem(f"{sentence}, not {_kind(self.value)}")
            return default
        return number


def _kind(value: Any) -> str:
    match value:
        case None:
            return "missing"
        case str():
            return f'"{value[:60]}"'
        case bool() | int() | float():
            return str(value).lower() if isinstance(value, bool) else str(value)
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a value of type {type(value).__name__}"
