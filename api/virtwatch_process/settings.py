"""Reads settings from environment variables; what is wrong is collected, so that all of it is reported at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from virtwatch_api.duration import format_duration, parse_duration
from virtwatch_api.problem import Problem


class Variables:
    """Read variables; one that is unset or empty takes its default, a wrong one too, and is a problem."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._problems: list[Problem] = []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what was wrong so far."""
        return tuple(self._problems)

    def text(self, name: str, default: str = "") -> str:
        """Read a text."""
        return self._env.get(name, "").strip() or default

    def path(self, name: str, default: str) -> Path:
        """Read an absolute path."""
        path = Path(self.text(name, default))
        if not path.is_absolute():
            self.problem(name, f'must be an absolute path, not "{path}"')
        return path

    def path_or_none(self, name: str) -> Path | None:
        """Read an absolute path that may be unset."""
        return self.path(name, "/") if self.text(name) else None

    def port(self, name: str, default: int) -> int:
        """Read a TCP port."""
        return self._number(name, default, (1, 65_535), "a TCP port")

    def number(self, name: str, default: int, *, at_most: int) -> int:
        """Read a whole number from 1."""
        return self._number(name, default, (1, at_most), "a whole number")

    def seconds(self, name: str, default: float, *, at_least: float, at_most: float) -> float:
        """Read a duration such as 15s."""
        text = self.text(name)
        if not text:
            return default
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            self.problem(name, str(error))
            return default
        if not at_least <= seconds <= at_most:
            between = f"between {format_duration(at_least)} and {format_duration(at_most)}"
            self.problem(name, f'must be {between}, not "{text}"')
        return seconds

    def secret(self, name: str, *, at_least: int, otherwise: str) -> str:
        """Read a secret of so many characters that no message repeats; `otherwise` says what comes of none."""
        text = self.text(name)
        if text and len(text) < at_least:
            must = f"must be at least {at_least} characters, the same in all processes, or unset to {otherwise}"
            self.problem(name, f"{must}; this one has {len(text)}")
        return text

    def switch(self, name: str, *, default: bool) -> bool:
        """Read on or off."""
        text = self.text(name, "on" if default else "off").lower()
        if text not in ("on", "off"):
            self.problem(name, f'must be on or off, not "{text}"')
            return default
        return text == "on"

    def items(self, name: str) -> Sequence[str]:
        """Read a list that is separated by commas."""
        return tuple(item for part in self.text(name).split(",") if (item := part.strip()))

    def problem(self, name: str, message: str) -> None:
        """Note what is wrong with a variable."""
        self._problems.append(Problem(name, message))

    def _number(self, name: str, default: int, between: tuple[int, int], kind: str) -> int:
        text = self.text(name, str(default))
        if not text.isdecimal() or not between[0] <= int(text) <= between[1]:
            self.problem(name, f'must be {kind} from {between[0]} to {between[1]}, not "{text}"')
            return default
        return int(text)
