import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opentelemetry._logs import LoggerProvider, NoOpLoggerProvider
from opentelemetry.metrics import Meter, MeterProvider, NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider, Tracer, TracerProvider

from virtwatch_telemetry.events import EventLogger
from virtwatch_telemetry.outage import Failures
from virtwatch_telemetry.settings import Settings, Signal, read_settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from virtwatch_telemetry.channel import Channel
    from virtwatch_telemetry.page import Page
    from virtwatch_telemetry.reserved import ReservedSpans

_log = logging.getLogger("virtwatch.telemetry")
_SHUTDOWN_MARGIN = 0.1  # seconds of the deadline kept for threads to end, and again for the caller


def set_up(
    service: str,
    *,
    resource_attributes: Mapping[str, str],
    env: Mapping[str, str],
    page: "Page | None" = None,
    leave: "Callable[[ReadableSpan], ReadableSpan] | None" = None,
) -> "Providers":
    """Set OpenTelemetry up for a process, without touching the globals of its API.

    `env` says where telemetry goes (OTEL_EXPORTER_OTLP_*, OTEL_SDK_DISABLED, OTEL_*_EXPORTER); a signal without an
    endpoint is not exported and costs nothing. Sampler, limits, queues, intervals and resource attributes are read by
    the SDK from the process's own OTEL_* variables. `resource_attributes` holds a `service.instance.id` that stays the
    same after a restart: the pod's or the node's name. `page` shows metrics besides, with or without an endpoint.
    `leave` says what of a span leaves the process; all of it without.
    """
    settings = read_settings(env)
    for remark in settings.remarks:
        _log.warning("Telemetry: %s.", remark)
    if absent := [signal for signal in Signal if signal not in settings.destinations]:
        why = "no OTEL_EXPORTER_OTLP_ENDPOINT is set, or they are off"
        _log.info("Telemetry: %s are not exported: %s.", ", ".join(absent), why)
    providers = Providers(settings)
    if settings.destinations or page is not None:
        _plug_in(providers, {"service.name": service, **resource_attributes}, env, page=page, leave=leave)
    return providers


class Providers:
    """Hold the three providers of a process. `shutdown` must be called; nothing is registered to run at exit."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tracers: TracerProvider = NoOpTracerProvider()
        self.loggers: LoggerProvider = NoOpLoggerProvider()
        self.meters: MeterProvider = NoOpMeterProvider()
        self.resource: Mapping[str, object] = {}  # attributes of this process, those of OTEL_RESOURCE_ATTRIBUTES too
        self.reserved: ReservedSpans | None = None  # None where traces are not exported
        self.on_shutdown: list[Callable[[], None]] = []
        self._outages = Failures(time.monotonic)
        self._channels: list[Channel] = []

    @property
    def problem(self) -> str:
        """Return a sentence about what is not delivered now and what to do, empty when all is well."""
        return self._outages.problem

    def tracer(self, name: str) -> Tracer:
        """Return a tracer; it does nothing where traces are not exported."""
        return self.tracers.get_tracer(name)

    def logger(self, name: str) -> EventLogger:
        """Return an event logger; it does nothing where logs are not exported."""
        return EventLogger(self.loggers.get_logger(name))

    def meter(self, name: str) -> Meter:
        """Return a meter; it does nothing where metrics are not exported."""
        return self.meters.get_meter(name)

    def channel(self, signal: Signal) -> "Channel | None":
        """Open a channel for requests that are built by hand, None where the signal is not exported."""
        destination = self.settings.destinations.get(signal)
        if destination is None:
            return None
        from virtwatch_telemetry.channel import Channel

        channel = Channel(destination, self._outages)
        self._channels.append(channel)
        return channel

    def shutdown(self, deadline: float = 5.0) -> None:
        """Send what waits and end, all in parallel; return within `deadline` seconds, whatever the backend does."""
        end = time.monotonic() + deadline - _SHUTDOWN_MARGIN
        for channel in self._channels:
            channel.stop(end - _SHUTDOWN_MARGIN)
        # Daemon threads: one that hangs in a dead backend is left behind and ends with the process.
        threads = [threading.Thread(target=shutdown, daemon=True) for shutdown in self.on_shutdown]
        self.on_shutdown.clear()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0.0))
        if any(thread.is_alive() for thread in threads):
            _log.warning("Telemetry: the last of it was not delivered within %g s. %s", deadline, self.problem)


def _plug_in(
    providers: Providers,
    attributes: Mapping[str, str],
    env: Mapping[str, str],
    *,
    page: "Page | None",
    leave: "Callable[[ReadableSpan], ReadableSpan] | None",
) -> None:
    """Replace what does nothing by the SDK's providers, which are imported only here: they cost 10 MB and 0.1 s."""
    from virtwatch_telemetry import pipelines
    from virtwatch_telemetry.reserved import ReservedIds, ReservedSpans

    resource = pipelines.resource(attributes)
    providers.resource = dict(resource.attributes)
    if traces := providers.channel(Signal.TRACES):
        ids = ReservedIds()
        providers.tracers = tracers = pipelines.tracers(traces, resource, ids, leave=leave)
        providers.reserved = ReservedSpans(tracers, ids)
        providers.on_shutdown.append(tracers.shutdown)
    if logs := providers.channel(Signal.LOGS):
        providers.loggers = loggers = pipelines.loggers(logs, resource)
        providers.on_shutdown.append(loggers.shutdown)
    metrics = providers.channel(Signal.METRICS)
    if metrics is not None or page is not None:
        more = [page.reader] if page is not None else []
        interval = providers.settings.metric_interval
        providers.meters = meters = pipelines.meters(metrics, resource, interval=interval, env=env, more=more)
        providers.on_shutdown.append(meters.shutdown)
