"""Whether those whom a policy wants told can be reported, as a condition of the policy. Pure."""

from collections.abc import Iterable, Mapping

from virtwatch_api.channel import ChannelKey
from virtwatch_operator.conditions import Finding, fails, holds, unknown
from virtwatch_operator.notify.book import ChannelFacts

_TYPE = "Notifying"


def notifying(channels: Mapping[ChannelKey, ChannelFacts | None], missing: Iterable[ChannelKey]) -> tuple[Finding, ...]:
    """Say of the channels that a policy names which cannot be notified; nothing where it names none.

    `channels` holds None for one that was not looked at yet, `missing` names those that do not exist.
    """
    gone = set(missing)
    if not channels:
        return ()
    problems = [
        f"channel {key.name} {problem}"
        for key, facts in channels.items()
        if (problem := "does not exist" if key in gone else _problem(facts))
    ]
    if problems:
        return (fails(_TYPE, "ChannelFails", f"{'; '.join(problems)[:2000]}."),)
    if any(facts is None for facts in channels.values()):
        return (unknown(_TYPE, "ChannelNotSeen", "A channel was not looked at yet."),)
    names = ", ".join(f"{key.name}{_unused(facts)}" for key, facts in channels.items())
    return (holds(_TYPE, "ChannelsReady", f"Alerts are sent to {names}."),)


def _unused(facts: ChannelFacts | None) -> str:
    return "" if facts is not None and facts.delivery is not None else " (nothing was sent there yet)"


def _problem(facts: ChannelFacts | None) -> str:
    if facts is None:
        return ""
    if facts.accepted is not None and not facts.accepted.status:
        return f"cannot be used: {facts.accepted.message.rstrip('.')}"
    if facts.delivery is not None and not facts.delivery.delivered:
        return f"fails: {facts.delivery.said}"
    return ""
