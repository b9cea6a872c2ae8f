"""What sends notifications, and how its parts hang together: news fills outboxes, threads of their own empty them."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry.trace import Tracer

from virtwatch_api.channel import ChannelKey, ChannelType
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import Notify, PolicyKey, Rule
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.conditions import Finding
from virtwatch_operator.notify.alertmanager import AlertmanagerSender
from virtwatch_operator.notify.apprise_sender import AppriseSender
from virtwatch_operator.notify.book import ChannelBook
from virtwatch_operator.notify.delivery import Deliverer, Rules
from virtwatch_operator.notify.routing import routes
from virtwatch_operator.notify.secrets import Secrets
from virtwatch_operator.notify.sender import Sender
from virtwatch_operator.notify.silences import Silences
from virtwatch_operator.notify.sink import NotificationSink
from virtwatch_operator.notify.store import OutboxStore
from virtwatch_operator.notify.telling import notifying
from virtwatch_operator.reconcile.channels import ChannelReconciler
from virtwatch_operator.workers import Workers
from virtwatch_operator.workqueue import WorkQueue
from virtwatch_process.outages import Outages

_CHANNELS = 2  # threads; each new address is read by a process of its own
_DELIVERIES = 4  # threads; a channel whose last attempt failed has others, so that none waits for it
_RETRIES = 2
_TESTS = 2
_CHECK_EVERY_S = 10.0  # whether a Secret that was missing is there: who makes it looks whether that helped


class Notifications:
    """Hold the sink, the channels' reconciler, and the queues and threads of deliveries."""

    def __init__(
        self,
        *,
        client: KubeClient,
        rules: Rules,
        notify_of: Callable[[PolicyKey], Iterable[Notify]],
        rule_of: Callable[[PolicyKey, str], Rule | None],
        may_last: Callable[[Transition], bool],
        unknown: Callable[[Transition], bool],
        count: Callable[[str, str], None],
        changed: Callable[[ChannelKey], None],
        outages: Outages,
        tracer: Tracer,
    ) -> None:
        self._client = client
        self._operator_namespace = rules.operator_namespace
        self._next_check = 0.0
        self._book = ChannelBook()
        self._store = OutboxStore(client=client, namespace=rules.operator_namespace)
        self.channels: WorkQueue[ChannelKey] = WorkQueue("channels", spacing=1.0)
        self._deliveries: WorkQueue[ChannelKey] = WorkQueue("deliveries", spacing=1.0)
        self._retries: WorkQueue[ChannelKey] = WorkQueue("deliveries that failed", spacing=1.0)
        self._tests: WorkQueue[ChannelKey] = WorkQueue("tests of channels", spacing=1.0)
        secrets = Secrets(client=client, operator_namespace=rules.operator_namespace)
        senders = _senders(rules)
        self._deliverer = Deliverer(
            store=self._store,
            book=self._book,
            secrets=secrets,
            silences=Silences(client=client),
            senders=senders,
            rules=rules,
            may_last=may_last,
            unknown=unknown,
            reported=self.channels.add,
            count=count,
            tracer=tracer,
        )
        reconciler = ChannelReconciler(
            client=client,
            book=self._book,
            store=self._store,
            secrets=secrets,
            senders=senders,
            test_asked=self._tests.add,
            changed=changed,
        )
        self.sink = NotificationSink(
            store=self._store,
            notify_of=notify_of,
            rule_of=rule_of,
            exists=self._exists,
            added=self._added,
            upkeep=self._look,
            operator_namespace=rules.operator_namespace,
            tracer=tracer,
        )
        self.workers: list[Workers[Any]] = [
            Workers(self.channels, reconciler.reconcile, threads=_CHANNELS, outages=outages),
            Workers(self._deliveries, self._deliver, threads=_DELIVERIES, outages=outages),
            Workers(self._retries, self._retry, threads=_RETRIES, outages=outages),
            Workers(self._tests, self._deliverer.test, threads=_TESTS, outages=outages),
        ]

    @property
    def queues(self) -> Sequence[WorkQueue[Any]]:
        """Return the queues, to be measured."""
        return (self.channels, self._deliveries, self._retries, self._tests)

    def resync(self) -> None:
        """Have every channel looked at again, and every outbox whose channel may be gone.

        Raises:
            KubeError: the channels could not be listed.
        """
        for document in self._client.list(virtwatch("notificationchannels")):
            self.channels.add(ChannelKey(document["metadata"]["namespace"], document["metadata"]["name"]))
        for key in (*self._store.channels(), *self._book.keys()):
            self.channels.add(key)

    def findings(self, policy: PolicyKey, notify: Iterable[Notify]) -> tuple[Finding, ...]:
        """Return what a policy's status says of its channels.

        Raises:
            KubeError: whether one exists could not be read now.
        """
        named = routes(policy, notify, operator_namespace=self._operator_namespace)
        missing = [key for key in named if not self._exists(key)]
        return notifying({key: self._book.get(key) for key in named}, missing)

    def _exists(self, key: ChannelKey) -> bool:
        if self._book.get(key) is not None:
            return True
        try:
            self._client.get(virtwatch("notificationchannels", namespace=key.namespace, name=key.name))
        except NotFound:
            return False
        self.channels.add(key)
        return True

    def _added(self, key: ChannelKey) -> None:
        self.channels.add(key)
        self._mark(key)

    def _look(self) -> None:
        """Mark the channels that are due; silence makes no sound."""
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + _CHECK_EVERY_S
            for key in self._book.lacking():
                self.channels.add(key)
        for key in self._store.channels():
            if self._book.get(key) is None:
                self.channels.add(key)
            elif self._deliverer.is_due(key):
                self._mark(key)

    def _mark(self, key: ChannelKey) -> None:
        (self._retries if self._deliverer.failing(key) else self._deliveries).add(key)

    def _deliver(self, key: ChannelKey) -> None:
        if not self._deliverer.failing(key):
            self._deliverer.deliver(key)

    def _retry(self, key: ChannelKey) -> None:
        if self._deliverer.failing(key):
            self._deliverer.deliver(key)


def _senders(rules: Rules) -> Callable[[ChannelType], Sender]:
    """Return what sends to each type of channel: whoever adds a way to send adds a line here."""
    apprise = AppriseSender()
    by_type: dict[ChannelType, Sender] = {
        ChannelType.ALERTMANAGER: AlertmanagerSender(trace_url=rules.trace_url),
    }
    return lambda type_: by_type.get(type_, apprise)
