"""What of the operator's spans leaves the cluster where names leave it hashed: what is known to hold no name."""

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue

from virtwatch_telemetry.names import HashedNames

_KEPT = frozenset(
    {
        "k8s.node.name",
        "virtwatch.alert.continues",
        "virtwatch.channel.type",
        "virtwatch.event.alerts",
        "virtwatch.event.outcome",
        "virtwatch.journal.sequence",
        "virtwatch.notification.alerts",
        "virtwatch.notification.attempts",
        "virtwatch.notification.outcome",
        "virtwatch.pattern.events",
        "virtwatch.policy.generation",
        "virtwatch.policy.kind",
        "virtwatch.rule",
        "virtwatch.thresholds.hash",
        "virtwatch.transition.action",
    }
)
# Made of names by SHA-256 without the key: whoever has one could try names. Agents hash an alert's id in the same way.
_HASHED = ("virtwatch.alert.id", "k8s.event.name")
_OBJECTS = ("virtwatch.policy", "virtwatch.channel")  # NAMESPACE/NAME; policies and channels keep their own names


class HashedSpans:
    """Turn a span into what leaves: sentences, which name VMs, stay behind."""

    def __init__(self, names: HashedNames) -> None:
        self._names = names

    def __call__(self, span: ReadableSpan) -> ReadableSpan:
        """Return the span without its sentences: what failed is in the operator's log."""
        return ReadableSpan(
            span.name,
            context=span.get_span_context(),
            parent=span.parent,
            resource=span.resource,
            attributes={key: self._word(key, value) for key, value in (span.attributes or {}).items() if _leaves(key)},
            links=span.links,
            kind=span.kind,
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _word(self, key: str, value: AttributeValue) -> AttributeValue:
        if key in _HASHED:
            return self._names.of(str(value))
        if key not in _OBJECTS:
            return value
        namespace, slash, name = str(value).rpartition("/")
        return f"{self._names.of(namespace)}{slash}{name}"


def _leaves(key: str) -> bool:
    return key in _KEPT or key in _HASHED or key in _OBJECTS
