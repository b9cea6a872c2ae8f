"""Puts news into the outboxes of the channels that its policy names."""

import threading
import time
from collections.abc import Callable, Iterable

from opentelemetry.trace import Tracer

from virtwatch_api.channel import ChannelKey
from virtwatch_api.policy import Notify, PolicyKey, Rule
from virtwatch_operator.announce.sinks import News
from virtwatch_operator.notify.outbox import Outbox, take
from virtwatch_operator.notify.routing import routes
from virtwatch_operator.notify.rule_words import rule_words
from virtwatch_operator.notify.store import OutboxStore


class NotificationSink:
    """Take news by writing it into outboxes; `added` is called with each channel that has something to send.

    `notify_of` returns a policy's spec.notify, `rule_of` one of its rules, `exists` tells whether there is a channel;
    each may raise KubeError.
    `upkeep` is what a tick does besides.
    """

    name = "notifications"

    def __init__(
        self,
        *,
        store: OutboxStore,
        notify_of: Callable[[PolicyKey], Iterable[Notify]],
        rule_of: Callable[[PolicyKey, str], Rule | None],
        exists: Callable[[ChannelKey], bool],
        added: Callable[[ChannelKey], None],
        upkeep: Callable[[], None],
        operator_namespace: str,
        tracer: Tracer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._notify_of = notify_of
        self._rule_of = rule_of
        self._exists = exists
        self._added = added
        self._upkeep = upkeep
        self._operator_namespace = operator_namespace
        self._tracer = tracer
        self._clock = clock
        self._loaded = False
        self._loading = threading.Lock()

    def take(self, news: News) -> None:
        """Write a transition into the outbox of each channel that is to hear of it.

        Raises:
            KubeError: one was not written; the others may have been.
        """
        self._load()
        transition, origin = news.transition, news.origin
        policy = transition.alert.policy
        named = routes(policy, self._notify_of(policy), operator_namespace=self._operator_namespace)
        told = [key for key in self._store.channels() if transition.alert.id in self._store.get(key).alerts]
        rule = self._rule_of(policy, transition.alert.rule) if named or told else None
        words = rule_words(rule, transition) if rule is not None else None
        id_ = f"{origin.node}.{origin.epoch[:8]}.{transition.sequence}"
        for key in {**dict.fromkeys(named), **dict.fromkeys(told)}:
            route = named.get(key)
            if key not in told and (transition.severity is None or not self._exists(key)):
                continue

            def change(outbox: Outbox, route: Notify | None = route) -> Outbox:
                return take(outbox, transition, route, id_=id_, now=self._clock(), words=words)

            with self._tracer.start_as_current_span("outbox", context=news.context) as span:
                span.set_attribute("virtwatch.channel", str(key))
                self._store.change(key, change)
            self._added(key)

    def tick(self) -> None:
        """Look which channels have something to send.

        Raises:
            KubeError: outboxes could not be read.
        """
        self._load()
        self._upkeep()

    def _load(self) -> None:
        """Read what the leader before this one left, once."""
        with self._loading:
            if not self._loaded:
                self._store.load()
                self._loaded = True
