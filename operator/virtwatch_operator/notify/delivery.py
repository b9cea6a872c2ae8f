"""Empties outboxes: what is due is written, sent, and noted; what fails is tried again later."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from opentelemetry.trace import Span, Status, StatusCode, Tracer

from virtwatch_api.alert import Action, Reason
from virtwatch_api.channel import Channel, ChannelKey, ChannelType
from virtwatch_api.nodemonitor import Transition
from virtwatch_operator.notify import outbox as states
from virtwatch_operator.notify.book import ChannelBook, Delivery, Test
from virtwatch_operator.notify.guard import Guard
from virtwatch_operator.notify.message import Message, test_message, write
from virtwatch_operator.notify.outbox import Entry, Outbox
from virtwatch_operator.notify.pace import due, retry_delay, unwanted
from virtwatch_operator.notify.secrets import Secrets
from virtwatch_operator.notify.sender import Parcel, Receipt, Sender
from virtwatch_operator.notify.silences import Silences
from virtwatch_operator.notify.store import OutboxStore
from virtwatch_telemetry.traceparent import links, parent

_MAX_LINKS = 32


@dataclass(frozen=True, slots=True)
class Rules:
    """Hold what the installation says of channels."""

    operator_namespace: str
    tenants: Guard
    trace_url: str = ""

    def guard(self, key: ChannelKey) -> Guard:
        """Return where a channel may not go; those of the operator's namespace are the administrator's and free."""
        return Guard(free=True) if key.namespace == self.operator_namespace else self.tenants


class Deliverer:
    """Send what one channel is due at a time.

    `may_last` tells whether anybody is left who would say that an alert is over, `unknown` whether its node is silent
    now. `reported` is called with a channel of which there is something to say.
    """

    def __init__(
        self,
        *,
        store: OutboxStore,
        book: ChannelBook,
        secrets: Secrets,
        silences: Silences,
        senders: Callable[[ChannelType], Sender],
        rules: Rules,
        may_last: Callable[[Transition], bool],
        unknown: Callable[[Transition], bool],
        reported: Callable[[ChannelKey], None],
        count: Callable[[str, str], None],
        tracer: Tracer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._book = book
        self._secrets = secrets
        self._silences = silences
        self._senders = senders
        self._rules = rules
        self._may_last = may_last
        self._is_unknown = unknown
        self._reported = reported
        self._count = count
        self._tracer = tracer
        self._clock = clock

    def is_due(self, key: ChannelKey) -> bool:
        """Return whether a channel has something to send, or to forget, now."""
        channel = self._channel(key)
        if channel is None:
            return False
        outbox = self._store.get(key)
        if unwanted(outbox, channel) or self._orphans(outbox) or self._hushed(outbox):
            return True
        return bool(due(outbox, channel, now=self._clock(), silenced=self._silenced, unknown=self._unknown))

    def failing(self, key: ChannelKey) -> bool:
        """Return whether a channel's last attempt failed."""
        return self._store.get(key).retry.attempts > 0

    def deliver(self, key: ChannelKey) -> None:
        """Send what is due.

        Raises:
            KubeError: the Secret was not read, or the outcome not noted: then the message may be sent again.
        """
        channel = self._channel(key)
        if channel is None:
            return
        outbox = self._tidied(key, channel)
        batch = due(outbox, channel, now=self._clock(), silenced=self._silenced, unknown=self._unknown)
        if not batch:
            return
        message = write(batch, outbox, channel, now=self._clock(), trace_url=self._rules.trace_url)
        with self._span(channel, batch) as span:
            receipt = self._send(channel, message, batch)
            attempts = outbox.retry.attempts + 1
            span.set_attribute("virtwatch.notification.attempts", attempts)
            _conclude(span, receipt)
        self._note(channel, batch, outbox, receipt)
        self._count(channel.type.value, "delivered" if receipt.delivered else "failed")
        if not receipt.delivered or any(item.waiting for item in batch) or attempts > 1:
            self._book.put_delivery(key, Delivery(self._clock(), receipt.delivered, receipt.said, attempts))
            self._reported(key)

    def test(self, key: ChannelKey) -> None:
        """Send the test message that somebody asked for, once.

        Raises:
            KubeError: the Secret was not read.
        """
        channel, facts = self._channel(key), self._book.get(key)
        if channel is None or facts is None or facts.test is None or facts.test.delivery is not None:
            return
        with self._tracer.start_as_current_span("notification test", attributes=_attributes(channel)) as span:
            receipt = self._send(channel, test_message(channel), ())
            _conclude(span, receipt)
        self._book.put_test(key, Test(facts.test.request, Delivery(self._clock(), receipt.delivered, receipt.said)))
        self._reported(key)

    def _channel(self, key: ChannelKey) -> Channel | None:
        facts = self._book.get(key)
        return facts.channel if facts is not None else None

    def _send(self, channel: Channel, message: Message, batch: Sequence[Entry]) -> Receipt:
        secret = self._secrets.read(channel)
        if secret.problem:
            return Receipt(delivered=False, said=secret.problem)
        guard = self._rules.guard(channel.key)
        parcel = Parcel(channel, secret.text, message, batch, guard, self._clock())
        return self._senders(channel.type).send(parcel)

    def _note(self, channel: Channel, batch: Sequence[Entry], outbox: Outbox, receipt: Receipt) -> None:
        now, attempts = self._clock(), outbox.retry.attempts + 1

        def change(current: Outbox) -> Outbox:
            if receipt.delivered:
                return states.sent(current, batch, outbox.merged, now=now, labels=receipt.labels)
            return states.failed(current, at=now + retry_delay(attempts) * random.uniform(0.5, 1.0))

        again = receipt.delivered and attempts == 1 and not any(item.waiting for item in batch)
        if again and channel.type is ChannelType.ALERTMANAGER:
            self._store.note(channel.key, change)  # said again each minute, and by a new leader at once
        else:
            self._store.change(channel.key, change)

    def _tidied(self, key: ChannelKey, channel: Channel) -> Outbox:
        """Return a channel's outbox without what nobody wants to hear, and with an end for what has lost its node."""
        outbox = self._store.get(key)
        if gone := unwanted(outbox, channel):
            outbox = self._store.change(key, lambda current: states.drop(current, gone))
        if hushed := self._hushed(outbox):
            outbox = self._store.change(key, lambda current: states.hush(current, hushed))
        if self._orphans(outbox):
            outbox = self._store.change(key, self._without_orphans)
            self._reported(key)
        return outbox

    def _silenced(self, item: Entry) -> bool:
        return self._silences.until(item.transition) > self._clock()

    def _unknown(self, item: Entry) -> bool:
        return self._is_unknown(item.transition)

    def _hushed(self, outbox: Outbox) -> list[Entry]:
        """Return what came and went while it was silenced."""
        return [item for item in outbox.waiting if not item.firing and item.notified is None and self._silenced(item)]

    def _orphans(self, outbox: Outbox) -> list[Entry]:
        return [item for item in outbox.alerts.values() if item.firing and not self._may_last(item.transition)]

    def _without_orphans(self, outbox: Outbox) -> Outbox:
        now = self._clock()
        ended = {
            item.transition.alert.id: replace(
                item,
                transition=replace(
                    item.transition, action=Action.RESOLVED, reason=Reason.NO_DATA, severity=None, at=now
                ),
                changes=item.changes + 1,
                queued=item.queued if item.waiting else now,
            )
            for item in self._orphans(outbox)
        }
        return replace(outbox, alerts={**outbox.alerts, **ended})

    def _span(self, channel: Channel, batch: Sequence[Entry]) -> AbstractContextManager[Span]:
        first, *rest = (item.transition.traceparent for item in batch)
        others = [link for text in rest[:_MAX_LINKS] for link in links(text)]
        return self._tracer.start_as_current_span(
            "notification",
            context=parent(first),
            links=others,
            attributes={**_attributes(channel), "virtwatch.notification.alerts": len(batch)},
        )


def _attributes(channel: Channel) -> Mapping[str, str]:
    return {"virtwatch.channel": str(channel.key), "virtwatch.channel.type": channel.type.value}


def _conclude(span: Span, receipt: Receipt) -> None:
    span.set_attribute("virtwatch.notification.outcome", "delivered" if receipt.delivered else "failed")
    if not receipt.delivered:
        span.set_status(Status(StatusCode.ERROR, receipt.said))
