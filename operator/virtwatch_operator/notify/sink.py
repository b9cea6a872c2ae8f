"""Puts news into the outboxes of the channels that its policy names."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from opentelemetry.trace import Tracer

from virtwatch_api.channel import ChannelKey
from virtwatch_api.policy import Notify, PolicyKey, Rule
from virtwatch_operator.announce.sinks import News
from virtwatch_operator.notify.outbox import Outbox, RuleWords, take
from virtwatch_operator.notify.routing import routes
from virtwatch_operator.notify.rule_words import rule_words
from virtwatch_operator.notify.store import OutboxStore


@dataclass(frozen=True, slots=True)
class _Taken:
    news: News
    words: RuleWords | None


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

    def take(self, waiting: Sequence[News]) -> int:
        """Write all that waits into the outbox of each channel that is to hear of it, with one write for each.

        Raises:
            KubeError: one was not written; the others may have been.
        """
        self._load()
        policy = waiting[0].transition.alert.policy
        named = routes(policy, self._notify_of(policy), operator_namespace=self._operator_namespace)
        changes: dict[ChannelKey, list[_Taken]] = {}
        for news in waiting:
            channels = self._channels(news, named, changes)
            words = self._words(news) if channels else None
            for key in channels:
                changes.setdefault(key, []).append(_Taken(news, words))
        for key, taken in changes.items():
            with self._tracer.start_as_current_span("outbox", context=taken[0].news.context) as span:
                span.set_attribute("virtwatch.channel", str(key))
                self._store.change(key, partial(self._all_taken, taken, named.get(key)))
            self._added(key)
        return len(waiting)

    def _channels(
        self, news: News, named: Iterable[ChannelKey], changes: Mapping[ChannelKey, Sequence[_Taken]]
    ) -> Sequence[ChannelKey]:
        """Return who is to hear of something: those that its policy names, of an end those that seen the alert."""
        alert = news.transition.alert.id
        informed = {key for key in self._store.channels() if alert in self._store.get(key).alerts}
        informed |= {
            key for key, taken in changes.items() if any(item.news.transition.alert.id == alert for item in taken)
        }
        fires = news.transition.severity is not None
        return (*informed, *(key for key in named if key not in informed and fires and self._exists(key)))

    def _words(self, news: News) -> RuleWords | None:
        rule = self._rule_of(news.transition.alert.policy, news.transition.alert.rule)
        return rule_words(rule, news.transition) if rule is not None else None

    def _all_taken(self, taken: Iterable[_Taken], route: Notify | None, outbox: Outbox) -> Outbox:
        for item in taken:
            origin, transition = item.news.origin, item.news.transition
            id_ = f"{origin.node}.{origin.epoch[:8]}.{transition.sequence}"
            outbox = take(outbox, transition, route, id_=id_, now=self._clock(), words=item.words)
        return outbox

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
