"""The narrow seams of the agent's core, defined where they are consumed.

What is plugged in differs between a cluster, a terminal and a test, the core does not.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Protocol

from virtwatch_agent.observations import Observation, Sample, TargetEvent
from virtwatch_api.catalogue.readings import Instrument, Source
from virtwatch_api.nodemonitor import NodeStatus, Transition
from virtwatch_api.targets import Subject, TargetRef
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.contention import Look
from virtwatch_rules.inputs import Point


class Deliver(Protocol):
    """Take observations; what comes in one call belongs together and is in the journal whole or not at all."""

    def __call__(self, *observations: Observation) -> None:
        """Return at once."""
        ...


class Clock(Protocol):
    """Tell the time."""

    def time(self) -> float:
        """Return seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class Collector(Protocol):
    """Find domains and sample them; deliver all observations that libvirt and the kernel bring."""

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        ...

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) each source is asked for a target; a source that is absent is not asked."""
        ...

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Say which sources are asked at a random instant of so many seconds; others, and by default, regularly.

        An interval that is longer gives each target its turn in one of these stretches. Called before `plan`.
        """

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Ask a source of a target once more at an instant (monotonic seconds), if its plan does not sooner."""

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at a target each second or so, and look at once where one of these signals jumps or crosses a bound.

        Of signals that no glance can tell, and for an empty mapping, nothing is done.
        """

    def launchers(self, pods: frozenset[str]) -> None:
        """Say which pods are VMs' launchers by what the API says (UIDs); no other pod's libvirt is opened."""
        ...

    def stop(self) -> None:
        """End within 5 s, abandoning calls that hang."""
        ...


class HostThreads(Protocol):
    """Show who runs on the CPUs of the host; what cannot be read is left out."""

    cost: float  # CPU seconds that the newest look took

    def look(self, *, at: float) -> Look:
        """Return all threads as they are now; `at` is monotonic seconds."""
        ...

    def allowed_cpus(self, process: int) -> frozenset[int]:
        """Return the CPUs that a process may use; empty when it is gone."""
        ...

    def names(self, processes: Set[int]) -> Mapping[int, str]:
        """Return what the kernel calls processes."""
        ...


class ThresholdSource(Protocol):
    """Deliver ThresholdsChanged, and in a cluster IdentitiesChanged and NodeChanged."""

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        ...

    def stop(self) -> None:
        """End within 5 s."""
        ...


class Reporter(Protocol):
    """Carry the node's status to whoever acknowledges it."""

    def publish(self, status: NodeStatus) -> None:
        """Take the newest status; never block. Older ones that were not written yet are dropped."""
        ...


class Telemetry(Protocol):
    """Export samples, events and spans; no method blocks or raises."""

    @property
    def problem(self) -> str:
        """Return a sentence about what is not delivered now and what to do, empty when all is well."""
        ...

    @property
    def exports_samples(self) -> bool:
        """Return whether anybody gets the readings of targets: else none is taken that no rule asks for."""
        ...

    @property
    def cut(self) -> Mapping[TargetRef, int]:
        """Return how many series are left out of each target of which policies bound them; from any thread."""
        ...

    def choose(
        self, target: TargetRef, instruments: frozenset[tuple[str, Instrument]], *, series: int = 0
    ) -> frozenset[str]:
        """Take how policies want signals of a target exported, where not as the catalogue says.

        They let it export so many `series` at most, 0 for as many as there may be.
        Return the signals of which every value is exported, whether or not a rule asks for it.
        """
        ...

    def sample(
        self, subject: Subject, sample: Sample, *, pod_uid: str | None = None, points: Iterable[Point] = ()
    ) -> None:
        """Take readings of a target, and the points derived of them, for the next metrics export.

        `pod_uid` is of the pod that runs it.
        """
        ...

    def forget(self, target: TargetRef) -> None:
        """End the series of a target that is gone."""
        ...

    def event(self, subject: Subject, event: TargetEvent) -> None:
        """Emit an event as a log record."""
        ...

    def transition_context(self) -> str:
        """Start a trace for a transition; return its W3C traceparent, which the journal keeps."""
        ...

    def transition(
        self,
        transition: Transition,
        *,
        thresholds: ThresholdSet | None,
        cause: Sample | TargetEvent | None,
        judged: float,
        journaled: float,
    ) -> None:
        """Emit the transition's spans and log record: sample, judgement, journal, linked to the policy's trace."""
        ...

    def applied(self, thresholds: ThresholdSet, *, started: float, virtual_machines: int) -> None:
        """Emit the span of applying a ThresholdSet, a child of the policy's trace."""
        ...
