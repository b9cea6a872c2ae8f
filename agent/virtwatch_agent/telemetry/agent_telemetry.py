"""The telemetry of an agent: what is measured of VMs and of the node, events, spans, and what the agent costs."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import set_span_in_context

from virtwatch_agent.export_settings import USUAL, ExportSettings
from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_agent.seams import Clock, Telemetry
from virtwatch_agent.telemetry.hashed_names import Names
from virtwatch_agent.telemetry.identity import SCOPE, Attributes, alert_attributes, target_attributes
from virtwatch_agent.telemetry.transition_spans import ROOT, emit_applied, emit_transition
from virtwatch_api.alert import Action
from virtwatch_api.catalogue.events import EVENT, EventSeverity
from virtwatch_api.catalogue.readings import Instrument
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import Severity
from virtwatch_api.targets import Subject, TargetRef
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.inputs import Point
from virtwatch_telemetry.providers import Providers
from virtwatch_telemetry.settings import Signal
from virtwatch_telemetry.traceparent import parent

if TYPE_CHECKING:
    from virtwatch_agent.telemetry.metrics_export import MetricsExport
    from virtwatch_agent.telemetry.targets_page import TargetsPage

CUT = "virtwatch.agent.export.series.cut"  # of all targets, those that are beyond the bound of one
TRANSITION_EVENT = "virtwatch.alert.transition"
_SEVERITY = {Severity.WARNING: EventSeverity.WARNING, Severity.CRITICAL: EventSeverity.ERROR, None: EventSeverity.INFO}


class AgentTelemetry(Telemetry):
    """Export what an agent sees; a signal without an endpoint costs nothing. `Providers.shutdown` ends it."""

    def __init__(
        self,
        providers: Providers,
        clock: Clock,
        settings: ExportSettings = USUAL,
        *,
        page: "TargetsPage | None" = None,
    ) -> None:
        """`page` shows what is measured to whoever scrapes it."""
        self._clock = clock
        self._names = Names(settings.hash_key)
        self._page = page
        self._providers = providers
        self._reserved = providers.reserved
        self._tracer = providers.tracer(SCOPE)
        self._events = providers.logger(SCOPE)
        self._meter = providers.meter(SCOPE)
        self._metrics: MetricsExport | None = None
        if channel := providers.channel(Signal.METRICS):
            # Imported only here: without an endpoint, protobuf need not be loaded.
            from virtwatch_agent.telemetry import metrics_export

            self._metrics = metrics_export.MetricsExport(
                channel,
                interval=providers.settings.metric_interval,
                resource=providers.resource,
                histograms=providers.settings.exponential_histograms,
                settings=settings,
            )
            self._metrics.start()
            providers.on_shutdown.append(self._metrics.stop)
        if (shown := self._metrics or page) is not None:
            self.observe(CUT, "{series}", shown.cut)

    @property
    def problem(self) -> str:
        """Return a sentence about what is not delivered now and what to do, empty when all is well."""
        return self._providers.problem or (self._metrics.problem if self._metrics is not None else "")

    @property
    def exports_samples(self) -> bool:
        """Return whether anybody gets the readings of targets."""
        return self._metrics is not None or self._page is not None

    def observe(
        self, name: str, unit: str, callback: Callable[[], float], *, instrument: Instrument = Instrument.GAUGE
    ) -> None:
        """Export a figure of the agent itself, asked by `callback` at each export, from another thread."""

        def ask(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(callback())]

        if instrument is Instrument.COUNTER:
            self._meter.create_observable_counter(name, [ask], unit)
        else:
            self._meter.create_observable_gauge(name, [ask], unit)

    @property
    def cut(self) -> Mapping[TargetRef, int]:
        """Return how many series are left out of each target of which policies bound them."""
        asked = self._metrics if self._metrics is not None else self._page
        return asked.cut_by_policies if asked is not None else {}

    def choose(
        self, target: TargetRef, instruments: frozenset[tuple[str, Instrument]], *, series: int = 0
    ) -> frozenset[str]:
        """Take how policies want signals of a target exported; return those of which every value is."""
        if self._page is not None:
            self._page.bound(target, series)
        return self._metrics.choose(target, instruments, series=series) if self._metrics is not None else frozenset()

    def sample(
        self, subject: Subject, sample: Sample, *, pod_uid: str | None = None, points: Iterable[Point] = ()
    ) -> None:
        """Take readings of a target, and the points derived of them, for the next metrics export."""
        if not self.exports_samples:
            return
        subject, sample = self._names.subject(subject), self._names.sample(sample)
        if self._names.hashed:
            points = [point._replace(device=self._names.device(point.signal, point.device)) for point in points]
        if self._metrics is not None:
            self._metrics.sample(subject, sample, pod_uid=pod_uid, points=points)
        if self._page is not None:
            self._page.sample(subject, sample)

    def forget(self, target: TargetRef) -> None:
        """End the series of a target that is gone."""
        if self._metrics is not None:
            self._metrics.forget(target, at=self._clock.time())
        if self._page is not None:
            self._page.forget(target)

    def event(self, subject: Subject, event: TargetEvent) -> None:
        """Emit an event as a log record; only attributes that the catalogue knows leave the node."""
        known = EVENT[event.type]
        attributes: Attributes = {
            **target_attributes(self._names.subject(subject)),
            "virtwatch.event.type": event.type,
            "virtwatch.event.inferred": event.inferred,
            **{f"virtwatch.event.{key}": value for key, value in self._names.attributes(event).items()},
        }
        self._events.emit(known.otel_name, severity=known.severity, at=event.at, attributes=attributes)

    def transition_context(self) -> str:
        """Start a trace for a transition; return its W3C traceparent, empty where traces are not exported."""
        return self._reserved.reserve(ROOT) if self._reserved is not None else ""

    def transition(
        self,
        transition: Transition,
        *,
        thresholds: ThresholdSet | None,
        cause: Sample | TargetEvent | None,
        judged: float,
        journaled: float,
    ) -> None:
        """Emit the transition's spans and its log record."""
        context = parent(transition.traceparent)
        if self._reserved is not None:
            root = emit_transition(
                self._tracer,
                self._reserved,
                transition,
                names=self._names,
                thresholds=thresholds,
                cause=cause,
                judged=judged,
                journaled=journaled,
            )
            context = set_span_in_context(root)
        if transition.action is Action.COUNTED:
            return  # the event itself was emitted
        self._events.emit(
            TRANSITION_EVENT,
            severity=_SEVERITY[transition.severity],
            at=transition.at,
            attributes=alert_attributes(transition, self._names),
            body="" if self._names.hashed else transition.evidence.sentence,
            context=context,
        )

    def applied(self, thresholds: ThresholdSet, *, started: float, virtual_machines: int) -> None:
        """Emit the span of applying a ThresholdSet, a child of the policy's trace."""
        emit_applied(
            self._tracer,
            thresholds,
            names=self._names,
            started=started,
            ended=self._clock.time(),
            virtual_machines=virtual_machines,
        )
