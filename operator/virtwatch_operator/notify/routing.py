"""To which channels a policy's alerts go. Pure."""

from collections.abc import Iterable, Mapping

from virtwatch_api.channel import ChannelKey
from virtwatch_api.policy import Notify, PolicyKey, Severity


def channel_key(policy: PolicyKey, name: str, *, operator_namespace: str) -> ChannelKey:
    """Return which channel a policy means: one of its own namespace, or of the operator's for a cluster policy."""
    return ChannelKey(policy.namespace or operator_namespace, name)


def routes(policy: PolicyKey, notify: Iterable[Notify], *, operator_namespace: str) -> Mapping[ChannelKey, Notify]:
    """Return each channel of a policy once, with all severities that the policy names it for."""
    found: dict[ChannelKey, Notify] = {}
    for item in notify:
        key = channel_key(policy, item.channel, operator_namespace=operator_namespace)
        before = found.get(key)
        if before is not None:
            severities: tuple[Severity, ...] = tuple({*before.severities, *item.severities})
            item = Notify(item.channel, severities, min(before.repeat_every, item.repeat_every))  # noqa: PLW2901
        found[key] = item
    return found
