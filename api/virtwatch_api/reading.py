"""A cursor over untrusted YAML or JSON that collects every problem instead of raising at the first."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, TypeVar

from virtwatch_api.bounds import Scale, parse_bound
from virtwatch_api.duration import format_duration, parse_duration
from virtwatch_api.names import did_you_mean, shown
from virtwatch_api.problem import Problem, ProblemReason
from virtwatch_api.quantity import parse_number

MAX_PROBLEMS = 64  # of one document; nobody reads more, and a hostile one could hold millions
_MAX_UNKNOWN = 8  # fields of one mapping that are named

E = TypeVar("E", bound=StrEnum)


class Cursor:
    """Read one value of a document, knowing its path; problems of all cursors of a document go into one list.

    `subject` names the rule that the value belongs to.
    """

    def __init__(self, value: Any, path: str, problems: list[Problem], subject: str = "") -> None:
        self.value = value
        self.path = path
        self.subject = subject
        self._problems = problems

    def about(self, subject: str) -> "Cursor":
        """Return the same cursor, whose problems and those of its fields name `subject`."""
        return Cursor(self.value, self.path, self._problems, subject)

    def problem(self, message: str, reason: ProblemReason = ProblemReason.INVALID) -> None:
        """Record what is wrong here."""
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(self.path, message, reason, self.subject))

    def has(self, name: str) -> bool:
        """Return whether a field is present."""
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def __getitem__(self, name: str) -> "Cursor":
        value = self.value.get(name) if isinstance(self.value, dict) else None
        return Cursor(value, f"{self.path}.{name}" if self.path else name, self._problems, self.subject)

    def mapping(self, *known: str) -> bool:
        """Check that this is a mapping with known fields only; an unknown field is a typing error worth a sentence."""
        if not isinstance(self.value, dict):
            self.problem(f"must be a mapping, not {describe(self.value)}")
            return False
        unknown = [name for name in self.value if name not in known]
        for name in unknown[:_MAX_UNKNOWN]:
            self[shown(str(name))].problem(
                f"unknown field; known here: {', '.join(known)}{did_you_mean(str(name), known)}"
            )
        if len(unknown) > _MAX_UNKNOWN:
            self.problem(f"holds {len(unknown) - _MAX_UNKNOWN} more unknown fields")
        return True

    def items(self, *, at_most: int, at_least: int = 0) -> Iterator["Cursor"]:
        """Walk a list within its bounds."""
        if self.value is None and at_least == 0:
            return
        if not isinstance(self.value, list):
            self.problem(f"must be a list, not {describe(self.value)}")
            return
        if not at_least <= len(self.value) <= at_most:
            self.problem(f"must have between {at_least} and {at_most} items, has {len(self.value)}")
        for index, item in enumerate(self.value[:at_most]):
            yield Cursor(item, f"{self.path}[{index}]", self._problems, self.subject)

    def entries(self, *, at_most: int, what: str) -> Iterator[tuple[str, "Cursor"]]:
        """Walk a mapping of free keys, sorted by key; `what` says what it maps to what."""
        if self.value is None:
            return
        if not isinstance(self.value, dict) or len(self.value) > at_most:
            self.problem(f"must be a mapping of at most {at_most} {what}")
            return
        for key in sorted(self.value, key=str):
            if not isinstance(key, str):
                self.problem(f"the key {describe(key)} must be a string; quote it")
                continue
            path = f"{self.path}.{shown(key)}" if key else f'{self.path}[""]'
            yield key, Cursor(self.value[key], path, self._problems, self.subject)

    def text(self, default: str = "", *, at_most: int = 253, check: Callable[[str], str | None] | None = None) -> str:
        """Read a string; `check` returns a sentence for a bad one."""
        if self.value is None and default:
            return default
        if not isinstance(self.value, str) or not self.value:
            hint = "; quote it" if isinstance(self.value, bool | int | float) else ""
            self.problem(f"must be a non-empty string, not {describe(self.value)}{hint}")
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
            guess = did_you_mean(self.value, values) if isinstance(self.value, str) else ""
            self.problem(f"must be one of {', '.join(values)}, not {describe(self.value)}{guess}")
            return default if default is not None else next(iter(values))

    def duration(self, default: float, *, at_least: float = 0.0, at_most: float = 86_400.0) -> float:
        """Read a duration in seconds within bounds, which are seconds too."""
        if self.value is None:
            return default
        try:
            seconds = parse_duration(self.value) if isinstance(self.value, str) else None
        except ValueError:
            seconds = None
        if seconds is None or not at_least <= seconds <= at_most:
            bounds = f"from {format_duration(at_least)} to {format_duration(at_most)}"
            self.problem(f'must be a duration {bounds}, for example "90s", "2m" or "1h", not {describe(self.value)}')
            return default
        return seconds

    def bound(self, of: Scale) -> float | None:
        """Read a bound as people write it; integers may stand without quotes, other numbers must be quoted."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self._parsed(lambda text: parse_bound(text, of), _digits(self.value))
        if not isinstance(self.value, str):
            self.problem(f"must be a number such as {of.example} (quoted unless whole), not {describe(self.value)}")
            return None
        return self._parsed(lambda text: parse_bound(text, of), self.value)

    def number(self) -> float | None:
        """Read a plain number, which is written as text."""
        if not isinstance(self.value, str):
            self.problem(f"must be a plain number in quotes, not {describe(self.value)}")
            return None
        return self._parsed(parse_number, self.value)

    def integer(self, default: int, *, at_least: int, at_most: int) -> int:
        """Read a whole number within bounds."""
        if self.value is None:
            return default
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not at_least <= self.value <= at_most:
            self.problem(f"must be a whole number from {at_least} to {at_most}, not {describe(self.value)}")
            return default
        return self.value

    def boolean(self, *, default: bool) -> bool:
        """Read true or false."""
        if self.value is None:
            return default
        if not isinstance(self.value, bool):
            self.problem(f"must be true or false, not {describe(self.value)}")
            return default
        return self.value

    def _parsed(self, parse: Callable[[str], float], text: str) -> float | None:
        try:
            return parse(text)
        except ValueError as error:
            self.problem(str(error))
            return None


def describe(value: Any) -> str:
    """Return a value as it may stand in a sentence."""
    match value:
        case None:
            return "missing"
        case str():
            return f'"{shown(value)}"'
        case bool():
            return str(value).lower()
        case int():
            return shown(_digits(value))
        case float():
            return str(value)
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a value of type {type(value).__name__}"


def _digits(number: int) -> str:
    # Python refuses to write more than 4,300 digits, and takes long for what is less.
    return str(number) if number.bit_length() < 1024 else "a number of more than 300 digits"
