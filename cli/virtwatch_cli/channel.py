"""Send a test message through a NotificationChannel, and say how it went."""

import argparse
import sys
import time
import uuid
from typing import Any

from virtwatch_api.channel import TEST_ANNOTATION

_POLL_S = 0.5
_DEADLINE_S = 60.0
_MANAGER = "virtwatch-command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to do, the channel's name and its namespace."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    test = actions.add_parser("test", help="send a test message", description=__doc__)
    test.add_argument("name", metavar="NAME", help="the channel's name")
    test.add_argument("-n", "--namespace", default="default", help="the channel's namespace (default: default)")
    test.add_argument("--kubeconfig", metavar="FILE", help="how to reach the cluster (default: $KUBECONFIG)")
    test.add_argument(
        "--timeout", type=float, default=_DEADLINE_S, metavar="SECONDS", help="how long to wait for the answer"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the operator for a test and print its answer; return 0 where the message was delivered."""
    from virtwatch_kube.client import KubeClient
    from virtwatch_kube.errors import KubeError, NotFound
    from virtwatch_kube.paths import virtwatch

    name = f"NotificationChannel {arguments.namespace}/{arguments.name}"
    path = virtwatch("notificationchannels", namespace=arguments.namespace, name=arguments.name)
    try:
        client = KubeClient.from_environment(arguments.kubeconfig)
        client.get(path)  # applying would make a channel that is not there
        request = uuid.uuid4().hex
        client.apply(path, _annotated(arguments, request), manager=_MANAGER)
        answer = _wait(client, path, request, arguments.timeout)
    except NotFound:
        print(f"error: {name} does not exist", file=sys.stderr)
        return 1
    except KubeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if answer is None:
        print(f"error: {name}: no answer in {arguments.timeout:g} s; is the operator running?", file=sys.stderr)
        return 1
    delivered = answer["outcome"] == "Delivered"
    said = "the test message was delivered" if delivered else f"the test message failed: {answer.get('message', '')}"
    print(f"{name}: {said}")
    return 0 if delivered else 1


def _annotated(arguments: argparse.Namespace, request: str) -> dict[str, Any]:
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "NotificationChannel",
        "metadata": {
            "name": arguments.name,
            "namespace": arguments.namespace,
            "annotations": {TEST_ANNOTATION: request},
        },
    }


def _wait(client: Any, path: str, request: str, timeout: float) -> dict[str, Any] | None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        test: dict[str, Any] = (client.get(path).get("status") or {}).get("lastTest") or {}
        if test.get("request") == request:
            return test
        time.sleep(_POLL_S)
    return None
