from dataclasses import dataclass

from virtwatch_api.nodemonitor import Applied, FiringAlert


@dataclass(frozen=True, slots=True)
class Report:
    """Hold what one node says of one policy."""

    applied: Applied | None
    firing: tuple[FiringAlert, ...]
    moving: tuple[FiringAlert, ...] = ()  # on their way to another node, or to this one


@dataclass(frozen=True, slots=True)
class Presence:
    """Name the nodes that report, and those that did once and have fallen silent."""

    reporting: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
