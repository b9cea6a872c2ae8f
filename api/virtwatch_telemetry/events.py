# The one place that knows the logs API, which is still private: an event is a log record with an event name.
from collections.abc import Mapping

from opentelemetry._logs import Logger, SeverityNumber
from opentelemetry.context import Context

from virtwatch_api.catalogue.events import EventSeverity

Attribute = str | bool | int | float
_SEVERITY = {
    EventSeverity.INFO: SeverityNumber.INFO,
    EventSeverity.WARNING: SeverityNumber.WARN,
    EventSeverity.ERROR: SeverityNumber.ERROR,
}


class EventLogger:
    """Emit events; nothing here blocks."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def emit(
        self,
        name: str,
        *,
        severity: EventSeverity,
        at: float,
        attributes: Mapping[str, Attribute],
        body: str = "",
        context: Context | None = None,
    ) -> None:
        """Emit one event that happened `at` seconds since 1970.

        `name` never varies with the data; `body` is a sentence for people; `context` holds the span it belongs to.
        """
        self._logger.emit(
            event_name=name,
            timestamp=nanoseconds(at),
            severity_number=_SEVERITY[severity],
            body=body or None,
            attributes=dict(attributes),
            context=context if context is not None else Context(),
        )


def nanoseconds(seconds: float) -> int:
    """Turn seconds since 1970 into whole nanoseconds, exact to the microsecond that a float holds."""
    return round(seconds * 1_000_000) * 1_000
