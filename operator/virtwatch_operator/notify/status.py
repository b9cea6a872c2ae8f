"""A channel's status document. Pure."""

from virtwatch_api.channel import Channel, ChannelType
from virtwatch_api.nodemonitor_codec import Json, encode_condition
from virtwatch_operator.conditions import Finding, fails, holds, read_conditions, settle
from virtwatch_operator.notify.book import ChannelFacts, Delivery
from virtwatch_operator.notify.message import rfc3339
from virtwatch_operator.notify.outbox import Outbox

_MESSAGE_CHARACTERS = 1024  # the CRD's bound


def channel_status(
    facts: ChannelFacts, accepted: Finding, outbox: Outbox, *, generation: int, previous: Json, now: float
) -> Json:
    """Write a channel's status; `previous` is the one before it, whose conditions say when they flipped last."""
    findings = [accepted, _ready(facts, accepted, outbox)]
    conditions = settle(findings, read_conditions(previous), generation=generation, now=now)
    test = facts.test
    return {
        "observedGeneration": generation,
        "conditions": [encode_condition(item) for item in conditions],
        "firing": outbox.firing,
        "waiting": len(outbox.waiting),
        **({"lastDelivery": _delivery(facts.delivery, attempts=True)} if facts.delivery is not None else {}),
        **(
            {"lastTest": {"request": test.request, **_delivery(test.delivery)}}
            if test is not None and test.delivery is not None
            else {}
        ),
    }


def read_delivery(document: Json | None, *, at: float) -> Delivery | None:
    """Read a delivery that a leader before this one wrote; `at` is its time in seconds since 1970."""
    if not document:
        return None
    delivered = document["outcome"] == "Delivered"
    return Delivery(at, delivered, str(document.get("message", "")), int(document.get("attempts", 1)))


def _ready(facts: ChannelFacts, accepted: Finding, outbox: Outbox) -> Finding:
    delivery = facts.delivery
    if not accepted.status:
        return fails("Ready", accepted.reason, f"Nothing can be sent: {accepted.message}")
    if delivery is None:
        return holds("Ready", "NothingSentYet", "Nothing was sent yet; `virtwatch channel test` sends a test message.")
    at = rfc3339(delivery.at)
    if delivery.delivered:
        return holds("Ready", "Delivered", f"The last message was delivered at {at}.")
    waiting = f"{len(outbox.waiting)} alerts wait, and it is tried again at {rfc3339(outbox.retry.at)}"
    tries = f" (attempt {delivery.attempts})" if delivery.attempts > 1 else ""
    return fails("Ready", "DeliveryFailed", f"Sending failed at {at}{tries}: {delivery.said}; {waiting}.")


def accepted(channel: Channel) -> Finding:
    """Say that a channel can be used."""
    what = "its Alertmanager" if channel.type is ChannelType.ALERTMANAGER else "its Secret"
    return holds("Accepted", "Valid", f"The spec is valid and {what} can be used.")


def _delivery(delivery: Delivery, *, attempts: bool = False) -> Json:
    return {
        "at": rfc3339(delivery.at),
        "outcome": "Delivered" if delivery.delivered else "Failed",
        "message": delivery.said[:_MESSAGE_CHARACTERS],
        **({"attempts": delivery.attempts} if attempts else {}),
    }
