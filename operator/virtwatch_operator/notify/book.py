"""What the operator knows of each channel: what it asks for, whether it can be used, how its last message went."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from virtwatch_api.channel import Channel, ChannelKey
from virtwatch_operator.conditions import Finding


@dataclass(frozen=True, slots=True)
class Delivery:
    """Say how an attempt went: `at` in seconds since 1970, `said` without secrets."""

    at: float
    delivered: bool
    said: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Test:
    """Say how the test went that `request` asked for; no `delivery` while it is under way."""

    request: str
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """Hold what is known of one channel; no `channel` where its spec is not valid, `accepted` says why."""

    channel: Channel | None = None
    accepted: Finding | None = None
    delivery: Delivery | None = None
    test: Test | None = None


class ChannelBook:
    """Hold the facts of every channel. Safe to use from several threads."""

    def __init__(self) -> None:
        self._facts: dict[ChannelKey, ChannelFacts] = {}
        self._lock = threading.Lock()

    def get(self, key: ChannelKey) -> ChannelFacts | None:
        """Return what is known of a channel, None where nothing is."""
        with self._lock:
            return self._facts.get(key)

    def put_channel(self, key: ChannelKey, channel: Channel | None, accepted: Finding) -> None:
        """Note what a channel asks for and whether it can be used; what is known of its messages stays."""
        with self._lock:
            before = self._facts.get(key, ChannelFacts())
            self._facts[key] = replace(before, channel=channel, accepted=accepted)

    def put_delivery(self, key: ChannelKey, delivery: Delivery) -> None:
        """Note how an attempt went."""
        with self._lock:
            self._facts[key] = replace(self._facts.get(key, ChannelFacts()), delivery=delivery)

    def put_test(self, key: ChannelKey, test: Test) -> None:
        """Note a test."""
        with self._lock:
            self._facts[key] = replace(self._facts.get(key, ChannelFacts()), test=test)

    def forget(self, key: ChannelKey) -> None:
        """Drop a channel that is gone."""
        with self._lock:
            self._facts.pop(key, None)

    def lacking(self) -> Iterable[ChannelKey]:
        """Return the channels whose Secret cannot be read or used."""
        with self._lock:
            facts = tuple(self._facts.items())
        return [key for key, item in facts if item.channel and item.accepted and item.accepted.status is False]

    def keys(self) -> Iterable[ChannelKey]:
        """Return all channels that are known."""
        with self._lock:
            return tuple(self._facts)
