"""Counts the targets that each policy's rules are in force for: kept up, since a report must not count them all."""

from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import TargetRef

_NONE: frozenset[PolicyKey] = frozenset()


class Coverage:
    """Count what is there."""

    def __init__(self) -> None:
        self.targets: dict[PolicyKey, int] = {}
        self.machines: dict[PolicyKey, int] = {}
        self._noted: dict[TargetRef, frozenset[PolicyKey]] = {}

    def note(self, target: Target) -> None:
        """Take a target as it is now."""
        now = target.policies if target.present else _NONE
        before = self._noted.get(target.ref, _NONE)
        if now is before:
            return
        if now:
            self._noted[target.ref] = now
        else:
            self._noted.pop(target.ref, None)
        counted = (self.targets, self.machines) if isinstance(target, VirtualMachine) else (self.targets,)
        for counts in counted:
            for policy in before - now:
                counts[policy] -= 1
                if not counts[policy]:
                    del counts[policy]
            for policy in now - before:
                counts[policy] = counts.get(policy, 0) + 1
