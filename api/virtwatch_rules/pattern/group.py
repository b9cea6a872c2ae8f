"""Patterns over several targets: the events of all VMs of a node, a namespace or a storage pool, judged as one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from virtwatch_api.alert import Reason
from virtwatch_api.policy import CountPattern, PatternRule
from virtwatch_rules.alerts import Document, Said, Saved
from virtwatch_rules.inputs import Event, Wants
from virtwatch_rules.pattern.engine import PatternJudge, asks

VERSION = 1
MOST_GROUPS = 1024


@dataclass(frozen=True, slots=True)
class GroupSaid:
    """Pair what a judge said with the group that it said it of."""

    group: str
    said: Said


class GroupJudge:
    """Judge one rule whose pattern joins several targets: one judge for each group of which events came."""

    def __init__(self, body: PatternRule) -> None:
        self.body = body
        self.cut = 0  # events of groups beyond MOST_GROUPS
        self._judges: dict[str, PatternJudge] = {}

    @property
    def event_type(self) -> str:
        """Return the type of the events that it wants."""
        assert isinstance(self.body.pattern, CountPattern)
        return self.body.pattern.event.type

    @property
    def tick_at(self) -> float:
        """Return the next instant at which `tick` must be called though nothing came."""
        return min((judge.tick_at for judge in self._judges.values()), default=float("inf"))

    def renew(self, body: PatternRule) -> bool:
        """Go on by the rule's new text; False when it became something else, and its alerts must end."""
        wants = Wants()
        if asks(body) != asks(self.body) or not all(judge.renew(body, wants) for judge in self._judges.values()):
            return False
        self.body = body
        return True

    def event(self, event: Event, *, group: str, member: str) -> Iterator[GroupSaid]:
        """Judge an event of a member, named as people know it, of a group."""
        judge = self._judges.get(group)
        if judge is None:
            if len(self._judges) >= MOST_GROUPS:
                self.cut += 1
                return
            judge = self._judges[group] = PatternJudge(self.body, Wants())
        yield from (GroupSaid(group, said) for said in judge.take(event, member=member))
        self._drop_idle(group)

    def tick(self, *, at: float) -> Iterator[GroupSaid]:
        """Let time pass."""
        for group in [group for group, judge in self._judges.items() if judge.tick_at <= at]:
            yield from (GroupSaid(group, said) for said in self._judges[group].tick(at=at))
            self._drop_idle(group)

    def end(self, reason: Reason, *, at: float) -> Iterator[GroupSaid]:
        """End all alerts: the rule is gone."""
        for group, judge in self._judges.items():
            yield from (GroupSaid(group, said) for said in judge.end(reason, at=at))
        self._judges = {}

    def clock_set(self, seconds: float) -> None:
        """Let timers continue though the clock was set."""
        for judge in self._judges.values():
            judge.clock_set(seconds)

    def recall(self, group: str, saved: Saved, *, at: float) -> None:
        """Take back an alert from before a restart."""
        self._judges.setdefault(group, PatternJudge(self.body, Wants())).recall(saved, at=at)

    def records(self) -> Iterator[tuple[str, Saved]]:
        """Yield the alerts that fire."""
        for group, judge in self._judges.items():
            for alert in judge.alerts.values():
                yield group, alert.saved()

    def save(self) -> Document:
        """Return the events that are still needed, by group."""
        return {"version": VERSION, "groups": {group: judge.save() or {} for group, judge in self._judges.items()}}

    def restore(self, document: Mapping[str, Any]) -> None:
        """Take back the events; what cannot be read is left."""
        groups = document.get("groups")
        if document.get("version") != VERSION or not isinstance(groups, dict):
            return
        for group, saved in list(groups.items())[:MOST_GROUPS]:
            if isinstance(saved, dict):
                self._judges.setdefault(str(group), PatternJudge(self.body, Wants())).restore(saved)

    def _drop_idle(self, group: str) -> None:
        judge = self._judges[group]
        if not len(judge.history) and not judge.alerts:
            del self._judges[group]
