"""The node as a target: it is there as long as its agent is."""

from collections.abc import Mapping

from virtwatch_agent.judge.target import Target
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.targets import Subject, TargetIdentity, node_ref
from virtwatch_rules.budget import WindowBudget


class Node(Target):
    """Judge the node."""

    def __init__(self, name: str, budget: WindowBudget) -> None:
        super().__init__(node_ref(name), budget)
        self._subject = Subject(label=name, target=self.ref, node=name)
        self.labels: Mapping[str, str] = {}
        self.annotations: Mapping[str, str] = {}

    @property
    def subject(self) -> Subject:
        """Return how alerts name the node."""
        return self._subject

    @property
    def selector_identity(self) -> TargetIdentity:
        """Return what policies select by."""
        return TargetIdentity(self._subject.label, None, self.labels, self.annotations, TargetKind.NODE)

    def appear(self, *, at: float) -> None:
        """Note that the node is there from now on, seconds since 1970."""
        for _ in self.evaluator.appear(at=at):
            pass  # nothing is judged yet
