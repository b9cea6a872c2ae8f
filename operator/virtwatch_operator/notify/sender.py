"""The seam between the delivery of a message and the ways to send one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from virtwatch_api.channel import Channel
from virtwatch_operator.notify.guard import Guard
from virtwatch_operator.notify.message import Message
from virtwatch_operator.notify.outbox import Entry

SEND_S = 30.0  # that one message may take


@dataclass(frozen=True, slots=True)
class Parcel:
    """Hold what is to be sent now: the message for people, and the alerts that it reports, none in a test.

    `secret` is the content of the channel's Secret, an Apprise URL or an Alertmanager's token: it is shown nowhere.
    """

    channel: Channel
    secret: str = field(repr=False)
    message: Message
    entries: Sequence[Entry]
    guard: Guard
    now: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """Say how a send went: `said` is a sentence without secrets; `labels` are those told to an Alertmanager."""

    delivered: bool
    said: str
    labels: dict[str, dict[str, str]] = field(default_factory=dict)


class Sender(Protocol):
    """A way to send."""

    def check(self, channel: Channel, secret: str) -> str:
        """Return what is wrong with a channel's secret, empty where it can be used. Sends nothing."""
        ...

    def send(self, parcel: Parcel) -> Receipt:
        """Send; return within SEND_S, whatever the receiver does. Raises nothing for what the receiver does wrong."""
        ...
