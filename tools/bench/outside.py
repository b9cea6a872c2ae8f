"""What is plugged into the agent's core where only the core is measured."""

from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType

from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import NodeStatus, Transition
from virtwatch_api.targets import Subject, TargetRef
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.contention import Look
from virtwatch_rules.inputs import Point


class Nothing:
    """Stands for what is plugged into the core: it takes all and does nothing."""

    problem = ""
    exports_samples = True
    cut: Mapping[TargetRef, int] = MappingProxyType({})
    cost = 0.0

    def choose(self, target: TargetRef, instruments: object, *, series: int = 0) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def look(self, *, at: float) -> Look:
        return Look(at, {})

    def allowed_cpus(self, process: int) -> frozenset[int]:  # noqa: ARG002
        return frozenset()

    def names(self, processes: Set[int]) -> Mapping[int, str]:  # noqa: ARG002
        return {}

    def start(self, deliver: object) -> None: ...

    def stop(self) -> None: ...

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None: ...

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None: ...

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None: ...

    def look_again(self, target: TargetRef, source: Source, at: float) -> None: ...

    def launchers(self, pods: frozenset[str]) -> None: ...

    def publish(self, status: NodeStatus) -> None: ...

    def sample(
        self, subject: Subject, sample: Sample, *, pod_uid: str | None = None, points: Iterable[Point] = ()
    ) -> None: ...

    def forget(self, target: TargetRef) -> None: ...

    def event(self, subject: Subject, event: TargetEvent) -> None: ...

    def transition_context(self) -> str:
        return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def transition(self, transition: Transition, **_: object) -> None: ...

    def applied(self, thresholds: ThresholdSet, *, started: float, virtual_machines: int) -> None: ...
