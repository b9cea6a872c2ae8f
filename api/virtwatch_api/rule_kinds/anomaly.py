"""Anomaly rules: signals that leave the band that was learned for their target."""

from collections.abc import Iterable, Sequence
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.names import did_you_mean, shown
from virtwatch_api.policy import AnomalyRule, Severity
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import MAX_PARTS, Json, Need, RuleKind, Scope
from virtwatch_api.rule_kinds.schema import SIGNALS_BELONG, list_field, signal_belongs, validation
from virtwatch_api.rule_kinds.signal_fields import read_signal
from virtwatch_api.rule_kinds.signal_schema import signal_field

SENSITIVITIES = ("Low", "Medium", "High")


class Anomaly(RuleKind):
    """Fire when signals leave their learned band."""

    name = "anomaly"
    body = AnomalyRule
    example = """\
name: unusual-io
severity: Warning
anomaly:
  signals: [vm.disk.write.rate, vm.disk.read.rate]
  sensitivity: Medium
"""

    def read(self, cursor: Cursor, severity: Severity, scope: Scope) -> AnomalyRule | None:
        """Read an anomaly rule."""
        if not cursor.mapping("signals", "sensitivity"):
            return None
        signals = tuple(read_signal(item, scope) for item in cursor["signals"].items(at_least=1, at_most=MAX_PARTS))
        sensitivity = cursor["sensitivity"].text("Medium")
        if sensitivity not in SENSITIVITIES:
            cursor["sensitivity"].problem(
                f'must be one of {", ".join(SENSITIVITIES)}, not "{shown(sensitivity)}"'
                f"{did_you_mean(sensitivity, SENSITIVITIES)}"
            )
        return AnomalyRule(severity, signals, sensitivity)

    def write(self, body: Any) -> Json:
        """Write an anomaly rule."""
        assert isinstance(body, AnomalyRule)
        return {"signals": list(body.signals), "sensitivity": body.sensitivity}

    def needs(self, body: Any) -> Iterable[Need]:
        """Name the signals."""
        for index, name in enumerate(body.signals):
            yield Need(f"signals[{index}]", signal=name)

    def mentions(self, signals: str, events: str) -> str:  # noqa: ARG002
        """Look at the signals."""
        return f"rule.anomaly.signals.exists(signal, signal in {signals})"

    def schema(self, targets: Sequence[TargetKind]) -> Json:
        """Describe the field anomaly."""
        return {
            "description": (
                "Fires when signals leave the band that was learned for this VM; silent until there is enough history."
            ),
            "type": "object",
            "required": ["signals"],
            "properties": {
                "signals": list_field(
                    "The signals to learn, 1 to 8.",
                    signal_field("A signal, as in threshold.signal.", targets),
                    at_least=1,
                ),
                "sensitivity": {
                    "description": (
                        "How readily a deviation counts: Low reports only what is far out of the band, High small "
                        "deviations too."
                    ),
                    "type": "string",
                    "enum": list(SENSITIVITIES),
                    "default": "Medium",
                },
            },
        }

    def validations(self) -> Iterable[Json]:
        """Tie the signals to the target."""
        yield validation(
            f"self.rules.all(rule, !has(rule.anomaly) || rule.anomaly.signals.all(signal, {signal_belongs('signal')}))",
            f"the signals of an anomaly {SIGNALS_BELONG}",
        )
