import time
from collections.abc import Callable
from dataclasses import dataclass

from virtwatch_api.nodemonitor_codec import Json, encode_condition
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.conditions import fails, read_conditions, settle

MANAGER = "virtwatch-status"
_NOT_YET = fails(
    "Accepted",
    "NotImplemented",
    "Sending notifications is not implemented in this version; alerts are told as Events and in the policies' status.",
)


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """Identify a NotificationChannel."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class ChannelReconciler:
    """Answer each NotificationChannel, until there is an engine for them."""

    def __init__(self, *, client: KubeClient, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock

    def reconcile(self, key: ChannelKey) -> None:
        """Write a channel's status where it does not say so yet.

        Raises:
            KubeError: the API server did not do its part.
        """
        try:
            document = self._client.get(virtwatch("notificationchannels", namespace=key.namespace, name=key.name))
            status = _status(document, now=self._clock())
            if status != document.get("status"):
                self._write(document, key, status)
        except (NotFound, Conflict):
            return  # gone, or made anew meanwhile, which is told again

    def _write(self, document: Json, key: ChannelKey, status: Json) -> None:
        path = virtwatch("notificationchannels", namespace=key.namespace, name=key.name, subresource="status")
        metadata = {name: document["metadata"][name] for name in ("namespace", "name", "uid")}
        body = {"apiVersion": API_VERSION, "kind": "NotificationChannel", "metadata": metadata, "status": status}
        self._client.apply(path, body, manager=MANAGER)


def _status(document: Json, *, now: float) -> Json:
    generation = document["metadata"]["generation"]
    previous = read_conditions(document.get("status") or {})
    conditions = settle([_NOT_YET], previous, generation=generation, now=now)
    return {"observedGeneration": generation, "conditions": [encode_condition(item) for item in conditions]}
