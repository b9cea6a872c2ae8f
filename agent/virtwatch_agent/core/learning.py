"""Lets what rules have learned outlast a restart: taught to targets when they come, saved while they are judged."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from virtwatch_agent.journal.learned import Learned, LearnedStore
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import TargetRef
from virtwatch_rules.alerts import Document

_SOON_S = 5.0  # between two looks at what must be saved soon: events that a pattern waits for
_LATER_S = 300.0  # and at baselines, which are larger, and change slowly


class Learner(Protocol):
    """Know something that takes time to learn."""

    @property
    def ref(self) -> TargetRef:
        """Return under which name it is kept."""
        ...

    def learned(self, *, within: float) -> Iterator[tuple[PolicyKey, str, Document]]:
        """Yield what is to be kept: policy, rule, document. `within` (seconds) of it at most may be lost."""
        ...

    def teach(self, policy: PolicyKey, rule: str, document: Document) -> None:
        """Take back what was kept."""
        ...


class Learning:
    """Save and teach."""

    def __init__(self, store: LearnedStore) -> None:
        self._store = store
        self._kept: dict[TargetRef, list[Learned]] = {}
        self._taught: set[TargetRef] = set()
        self._seen: list[Learner] = []
        self._saved: dict[tuple[TargetRef, object, str], object] = {}
        self._soon = self._later = 0.0

    def open(self, *, now: float) -> None:
        """Read what was kept."""
        for item in self._store.open(now=now):
            self._kept.setdefault(item.target, []).append(item)
        self._soon, self._later = now, now

    def look(self, targets: Iterable[Learner], *, now: float, at_once: bool = False) -> None:
        """Teach targets that are new, and save what has changed when it is time."""
        targets = list(targets)
        self._teach(targets)
        if at_once or now - self._later >= _LATER_S:
            self._soon = self._later = now
            self._save(targets, within=float("inf"), now=now)
        elif now - self._soon >= _SOON_S or now < self._soon:
            self._soon = now
            self._save(targets, within=_SOON_S, now=now)

    def rests(self, *, now: float) -> float:
        """Return for how many seconds nothing is to be saved."""
        return max(0.0, self._soon + _SOON_S - now)

    def close(self, targets: Iterable[Learner], *, now: float) -> None:
        """Save all that was learned."""
        self._save(list(targets), within=float("inf"), now=now)
        self._store.close()

    def _teach(self, targets: list[Learner]) -> None:
        if targets == self._seen:
            return
        self._seen = targets
        there = {target.ref for target in targets}
        for target in targets:
            if target.ref not in self._taught:
                for item in self._kept.pop(target.ref, ()):
                    target.teach(item.policy, item.rule, item.document)
        self._taught = there

    def _save(self, targets: list[Learner], *, within: float, now: float) -> None:
        changed = []
        for target in targets:
            for policy, rule, document in target.learned(within=within):
                key = (target.ref, policy, rule)
                if self._saved.get(key) != document:
                    changed.append(Learned(target.ref, policy, rule, document))
                    # Baselines change with each point: to remember them would cost more than to write them.
                    self._saved[key] = document if within == _SOON_S else None
        if changed:
            self._store.put(changed, now=now)
        self._saved = {key: saved for key, saved in self._saved.items() if key[0] in self._taught}
