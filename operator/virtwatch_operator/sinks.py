"""The places that this operator sends news to: whoever adds one adds a line here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from opentelemetry.trace import Tracer

from virtwatch_kube.client import KubeClient
from virtwatch_operator.announce.sinks import Sink
from virtwatch_operator.config import OperatorSettings
from virtwatch_operator.events.recorder import Recorder
from virtwatch_operator.events.reminders import Lasting, Reminders
from virtwatch_operator.events.sink import EventSink
from virtwatch_operator.events.storm_recorder import StormRecorder
from virtwatch_operator.metrics import Metrics
from virtwatch_operator.notify.notifications import Notifications
from virtwatch_operator.patterns.sink import PatternSink


@dataclass(frozen=True, slots=True)
class Means:
    """Hold what a sink may build on."""

    client: KubeClient
    settings: OperatorSettings
    metrics: Metrics
    notifications: Notifications
    patterns: PatternSink
    firing: Callable[[float], Iterable[Lasting]]
    tracer: Tracer


def events(means: Means) -> Sink:
    """Make the sink that tells news as Kubernetes Events."""
    recorder = Recorder(client=means.client, burst=means.settings.event_burst, count=means.metrics.event)
    reminders = Reminders(firing=means.firing, instance=means.settings.pod)
    storms = StormRecorder(client=means.client, recorder=recorder)
    return EventSink(recorder, storms=storms, reminders=reminders, tracer=means.tracer)


def notifications(means: Means) -> Sink:
    """Return the sink that fills the outboxes of NotificationChannels."""
    return means.notifications.sink


def patterns(means: Means) -> Sink:
    """Return the sink that counts events over nodes."""
    return means.patterns


SINKS: tuple[Callable[[Means], Sink], ...] = (events, notifications, patterns)
