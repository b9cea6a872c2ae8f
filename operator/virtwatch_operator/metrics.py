# The operator's own metrics; what they cost is a call of the SDK each.
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from virtwatch_operator.workqueue import Figures


class Metrics:
    """Count what the operator does."""

    def __init__(self, meter: Meter) -> None:
        self._queues: dict[str, Callable[[], Figures]] = {}
        self._events = meter.create_counter(
            "virtwatch.operator.events", unit="{event}", description="Kubernetes Events by what became of them."
        )
        self._requests = meter.create_counter(
            "virtwatch.operator.api.requests",
            unit="{request}",
            description="Requests to the API server by verb and HTTP status; none where there was no answer.",
        )
        self._notifications = meter.create_counter(
            "virtwatch.operator.notifications",
            unit="{message}",
            description="Attempts to send a notification, by the channel's type and their outcome.",
        )
        self._delay = meter.create_histogram(
            "virtwatch.operator.announce.delay",
            unit="s",
            description="Time from an alert's transition until a sink has taken it.",
            explicit_bucket_boundaries_advisory=[0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600],
        )
        meter.create_observable_up_down_counter(
            "virtwatch.operator.queue.waiting",
            self._observe(lambda figures: figures.waiting),
            unit="{key}",
            description="Keys that wait for work.",
        )
        meter.create_observable_counter(
            "virtwatch.operator.queue.worked",
            self._observe(lambda figures: figures.worked),
            unit="{key}",
            description="Keys that were worked on with success.",
        )
        meter.create_observable_counter(
            "virtwatch.operator.queue.failed",
            self._observe(lambda figures: figures.failed),
            unit="{key}",
            description="Work that failed and is tried again.",
        )

    def event(self, outcome: str) -> None:
        """Count an Event."""
        self._events.add(1, {"outcome": outcome})

    def request(self, verb: str, result: str) -> None:
        """Count a request to the API server."""
        self._requests.add(1, {"verb": verb, "result": result})

    def notification(self, type_: str, outcome: str) -> None:
        """Count an attempt to send a notification."""
        self._notifications.add(1, {"type": type_, "outcome": outcome})

    def delay(self, sink: str, seconds: float) -> None:
        """Record how long after it happened a sink had taken a transition."""
        self._delay.record(seconds, {"sink": sink})

    def observe_queue(self, name: str, figures: Callable[[], Figures]) -> None:
        """Export a queue's figures under its name."""
        self._queues[name] = figures

    def _observe(self, pick: Callable[[Figures], int]) -> list[Callable[[CallbackOptions], Iterable[Observation]]]:
        return [
            lambda _: [Observation(pick(figures()), {"queue": name}) for name, figures in list(self._queues.items())]
        ]
