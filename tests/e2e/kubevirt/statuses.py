"""Every status that a policy passes through, as a watch hears them."""

from pathlib import Path
from typing import Any, Self

from virtwatch_kube.client import KubeClient
from virtwatch_kube.paths import virtwatch
from virtwatch_kube.watch import Watch


class PolicyStatuses:
    """Collects, while it is entered, the statuses of a MonitorPolicy."""

    def __init__(self, kubeconfig: Path, namespace: str, name: str) -> None:
        self.seen: list[dict[str, Any]] = []
        self._watch = Watch(
            virtwatch("monitorpolicies", namespace=namespace),
            client=KubeClient.from_environment(str(kubeconfig)),
            fields=f"metadata.name={name}",
            on_change=self._take,
            name=f"the policy {namespace}/{name}",
        )

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.stop()

    @property
    def without_alert(self) -> list[dict[str, Any]]:
        """Give the statuses in which nothing fired."""
        return [status for status in self.seen if not status.get("activeAlerts")]

    @property
    def quiet(self) -> list[dict[str, Any]]:
        """Give the statuses that called the policy quiet."""
        return [status for status in self.seen if _condition(status, "Quiet") == "True"]

    def _take(self, _: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new is not None:
            self.seen.append(new.get("status", {}))


def _condition(status: dict[str, Any], name: str) -> str:
    return next((item["status"] for item in status.get("conditions", []) if item["type"] == name), "")
