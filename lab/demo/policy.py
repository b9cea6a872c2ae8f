"""What the API server says of one MonitorPolicy, read once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.controlplane.cluster import ControlPlane


@dataclass(frozen=True, slots=True)
class Alert:
    """One entry of status.activeAlerts; `target` is NAMESPACE/NAME, and a device where the alert is about one."""

    rule: str
    target: str
    severity: str
    node: str
    since: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Policy:
    """The part of a policy's status that the story waits for."""

    conditions: Mapping[str, str]
    messages: Mapping[str, str]
    alerts: tuple[Alert, ...]

    @classmethod
    def read(cls, control_plane: ControlPlane, name: str, *, namespace: str) -> "Policy":
        """Ask the API server."""
        said = control_plane.kubectl("get", "monitorpolicy", name, f"--namespace={namespace}", "-o", "json").stdout
        return cls.parse(json.loads(said).get("status", {}))

    @classmethod
    def parse(cls, status: Mapping[str, Any]) -> "Policy":
        """Read a status, which may be empty yet."""
        conditions = status.get("conditions", [])
        return cls(
            conditions={item["type"]: item["status"] for item in conditions},
            messages={item["type"]: item["message"] for item in conditions},
            alerts=tuple(_alert(item) for item in status.get("activeAlerts", [])),
        )

    def alert(self, rule: str, target: str) -> Alert | None:
        """Return the alert of a rule that fires for NAMESPACE/NAME."""
        return next((item for item in self.alerts if (item.rule, item.target.split()[0]) == (rule, target)), None)

    def __str__(self) -> str:
        firing = ", ".join(f"{item.severity} {item.rule} for {item.target}" for item in self.alerts) or "nothing"
        conditions = " ".join(f"{name}={status}: {self.messages[name]}" for name, status in self.conditions.items())
        return f"{firing} fires; {conditions or 'no conditions'}"


def _alert(item: Mapping[str, Any]) -> Alert:
    return Alert(
        rule=item["rule"],
        target=item["target"],
        severity=item["severity"],
        node=item.get("node", ""),
        since=item.get("since", ""),
        trace_id=item.get("traceID", ""),
    )
