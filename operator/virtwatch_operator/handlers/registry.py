# on.event alone: it writes nothing on objects. Its errors are never retried, so all that it does is mark a key.
from collections.abc import Callable
from typing import Any

import kopf

from virtwatch_api.channel import ChannelKey
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.policy_codec import GROUP, VERSION
from virtwatch_operator.policies import PLURAL, Seen
from virtwatch_operator.watch_check import Mark

PolicyNoticed = Callable[[PolicyKey, Seen], None]
ChannelNoticed = Callable[[ChannelKey, Mark], None]


def make_registry(*, policy: PolicyNoticed, channel: ChannelNoticed) -> kopf.OperatorRegistry:
    """Return a registry whose handlers report every policy and channel that may have changed."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    kopf.on.event(GROUP, VERSION, "notificationchannels", registry=registry)(_channel_handler(channel))
    for kind, plural in PLURAL.items():
        kopf.on.event(GROUP, VERSION, plural, registry=registry)(_policy_handler(kind, policy))
    return registry


def _login(**context: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_via_client(**context)


def _policy_handler(kind: PolicyKind, noticed: PolicyNoticed) -> Callable[..., Any]:
    async def policy(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        metadata = body["metadata"]
        going = type == "DELETED" or metadata.get("deletionTimestamp")
        key = PolicyKey(kind, metadata["name"], metadata.get("namespace"))
        noticed(
            key,
            Seen(
                uid="" if going else metadata["uid"],
                generation=metadata["generation"],
                version=metadata["resourceVersion"],
                status=dict(body.get("status") or {}),
            ),
        )

    return policy


def _channel_handler(noticed: ChannelNoticed) -> Callable[..., Any]:
    async def channel(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        metadata = body["metadata"]
        mark = None if type == "DELETED" else (metadata["uid"], metadata["generation"])
        noticed(ChannelKey(metadata["namespace"], metadata["name"]), mark)

    return channel
