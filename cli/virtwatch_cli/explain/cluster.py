"""Asks the cluster: writes an Explanation, waits for the answer in its status, and takes the Explanation away again."""

import json
import secrets
import time
from contextlib import suppress
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError, NotFound
from virtwatch_kube.paths import VIRTWATCH, virtwatch

_DEADLINE_S = 30.0
_POLL_S = 0.3
_OPERATOR_NAMESPACE = "virtwatch-system"


class AskError(Exception):
    """Say why there is no answer."""


def ask(kind: TargetKind, name: str, *, kubeconfig: str | None) -> dict[str, Any]:
    """Return the answer to why a target is judged as it is.

    Raises:
        AskError: there is none; the message says why.
    """
    namespace, _, target = name.rpartition("/")
    spec = {"kind": kind.value, "name": target}
    if kind is TargetKind.VIRTUAL_MACHINE:
        namespace = namespace or "default"
    else:
        if kind is not TargetKind.NODE:
            if not namespace:
                raise AskError(f"name the node too, as in pool/n1/{target}: the cluster does not know where it is")
            spec["node"] = namespace
        namespace = _OPERATOR_NAMESPACE
    called = f"ask-{secrets.token_hex(4)}"
    body = {
        "apiVersion": VIRTWATCH,
        "kind": "Explanation",
        "metadata": {"namespace": namespace, "name": called},
        "spec": {"target": spec},
    }
    try:
        client = KubeClient.from_environment(kubeconfig)
        client.create(virtwatch("explanations", namespace=namespace), body)
        path = virtwatch("explanations", namespace=namespace, name=called)
        try:
            return _answer(client, path)
        finally:
            with suppress(NotFound):
                client.delete(path)
    except KubeError as error:
        raise AskError(str(error)) from error


def as_text(answer: dict[str, Any]) -> str:
    """Write an answer for people."""
    who = f"{answer['answeredBy']}, node {answer['node'] or 'unknown'}, as of {answer['answeredAt']}"
    note = f"\n{answer['note']}" if answer.get("note") else ""
    return f"{answer.get('text', '')}\n\nAnswered by: {who}{note}"


def as_json(answer: dict[str, Any]) -> str:
    """Write an answer for machines."""
    return json.dumps(answer, indent=2)


def _answer(client: KubeClient, path: str) -> dict[str, Any]:
    end = time.monotonic() + _DEADLINE_S
    while time.monotonic() < end:
        status: dict[str, Any] = client.get(path).get("status") or {}
        if status.get("answeredAt"):
            return status
        time.sleep(_POLL_S)
    raise AskError(f"nobody answered within {_DEADLINE_S:g} s: does the operator run?")
