"""What a user does with NotificationChannels, and what is seen of them."""

import base64
from typing import Any

from tests.integration.operator.place import Place, eventually
from virtwatch_kube.paths import resource, virtwatch


def make_secret(place: Place, name: str, *, namespace: str | None = None, **entries: str) -> None:
    where = namespace or place.name
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": where},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in entries.items()},
    }
    place.client.apply(resource("v1", "secrets", namespace=where, name=name), body, manager="user")


def make_channel(
    place: Place, name: str, *, namespace: str | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> str:
    """Apply a channel; return its path."""
    where = namespace or place.name
    path = virtwatch("notificationchannels", namespace=where, name=name)
    body = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "NotificationChannel",
        "metadata": {"name": name, "namespace": where, "annotations": annotations or {}},
        "spec": spec,
    }
    place.client.apply(path, body, manager="user")
    return path


def status(place: Place, path: str) -> dict[str, Any]:
    return place.client.get(path).get("status") or {}


def condition(place: Place, path: str, name: str) -> tuple[str, str, str]:
    for item in status(place, path).get("conditions", []):
        if item["type"] == name:
            return item["status"], item["reason"], item["message"]
    return "", "", ""


def wait_condition(place: Place, path: str, name: str, reason: str) -> str:
    """Return the message of a condition once it has a reason."""
    eventually(lambda: condition(place, path, name)[1] == reason, what=f"{name} of {path} to be {reason}")
    return condition(place, path, name)[2]
