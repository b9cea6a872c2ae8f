"""A virtual network or a storage pool as a target: it is there as long as its libvirt lists it, started or not."""

from collections.abc import Iterator

from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_agent.observations import LibvirtObject
from virtwatch_api.targets import Subject, TargetIdentity
from virtwatch_rules.budget import WindowBudget


class LibvirtObjectTarget(Target):
    """Judge one virtual network or storage pool."""

    def __init__(self, known: LibvirtObject, node: str, budget: WindowBudget) -> None:
        super().__init__(known.target, budget)
        self.known_as = known
        self.awaited = False  # it was there before a restart, and its libvirt has not been seen since
        self._node = node

    @property
    def subject(self) -> Subject:
        """Return how alerts name it."""
        return Subject(label=self.known_as.name, target=self.ref, node=self._node)

    @property
    def selector_identity(self) -> TargetIdentity:
        """Return what policies select by."""
        return TargetIdentity(self.known_as.name, kind=self.ref.kind)

    def appear(self, *, at: float) -> Iterator[Verdict]:
        """Note that it is there, seconds since 1970."""
        yield from self._verdicts(self.evaluator.appear(at=at))

    def vanish(self, *, now: float) -> Iterator[Verdict]:
        """End what is about an object that is there; alerts on events stay until their own end."""
        yield from self._verdicts(self.evaluator.vanish(at=now))
