"""Answers each NotificationChannel: whether it can be used, and how its messages fare."""

import time
from collections.abc import Callable
from typing import Any

from virtwatch_api.channel import TEST_ANNOTATION, Channel, ChannelKey, ChannelType, parse_channel
from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy_codec import API_VERSION, timestamp
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.conditions import Finding, fails
from virtwatch_operator.notify.book import ChannelBook, Delivery, Test
from virtwatch_operator.notify.outbox import hurried
from virtwatch_operator.notify.secrets import Secrets
from virtwatch_operator.notify.sender import Sender
from virtwatch_operator.notify.status import accepted, channel_status, read_delivery
from virtwatch_operator.notify.store import OutboxStore

MANAGER = "virtwatch-status"
_MAX_REQUEST = 253


class ChannelReconciler:
    """Reconcile one channel at a time.

    `test_asked` is called with one whose annotation asks for a test message, `changed` with one whose status changed.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        book: ChannelBook,
        store: OutboxStore,
        secrets: Secrets,
        senders: Callable[[ChannelType], Sender],
        test_asked: Callable[[ChannelKey], None],
        changed: Callable[[ChannelKey], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._book = book
        self._store = store
        self._secrets = secrets
        self._senders = senders
        self._test_asked = test_asked
        self._changed = changed
        self._clock = clock
        self._checked: dict[ChannelKey, tuple[Channel, str, Finding]] = {}

    def reconcile(self, key: ChannelKey) -> None:
        """Bring a channel's facts and status up to date; drop the outbox of one that is gone.

        Raises:
            KubeError: the API server did not do its part.
        """
        try:
            document = self._client.get(virtwatch("notificationchannels", namespace=key.namespace, name=key.name))
        except NotFound:
            self._checked.pop(key, None)
            self._book.forget(key)
            self._store.forget(key)
            self._changed(key)
            return
        parsed = parse_channel(document)
        finding = self._check(key, parsed) if isinstance(parsed, Channel) else _invalid(parsed)
        self._recall(key, document.get("status") or {})
        facts = self._book.get(key)
        if finding.status and facts is not None and facts.accepted is not None and facts.accepted.status is False:
            self._hurry(key)
        self._book.put_channel(key, parsed if isinstance(parsed, Channel) else None, finding)
        self._ask_for_test(key, document, can_be_sent=isinstance(parsed, Channel))
        self._write(key, document, finding)

    def _hurry(self, key: ChannelKey) -> None:
        """Try again at once what could not be sent: its Secret can be used now."""
        if self._store.get(key).retry.attempts:
            self._store.change(key, hurried)

    def _check(self, key: ChannelKey, channel: Channel) -> Finding:
        secret = self._secrets.read(channel)
        if secret.problem:
            return fails("Accepted", secret.reason, secret.problem)
        before = self._checked.get(key)
        if before is not None and before[:2] == (channel, secret.text):
            return before[2]
        problem = self._senders(channel.type).check(channel, secret.text)
        named = channel.url or (channel.alertmanager.token if channel.alertmanager is not None else None)
        where = f"Secret {key.namespace}/{named.name}" if named is not None else "The channel"
        finding = fails("Accepted", "SecretInvalid", f"{where} {problem}.") if problem else accepted(channel)
        self._checked[key] = (channel, secret.text, finding)
        return finding

    def _recall(self, key: ChannelKey, status: Json) -> None:
        """Take over what a leader before this one wrote about the channel's messages."""
        facts = self._book.get(key)
        if facts is not None:
            return
        if (last := _read(status.get("lastDelivery"))) is not None:
            self._book.put_delivery(key, last)
        if (test := _read(status.get("lastTest"))) is not None:
            self._book.put_test(key, Test(str(status["lastTest"]["request"]), test))

    def _ask_for_test(self, key: ChannelKey, document: Json, *, can_be_sent: bool) -> None:
        request = str((document["metadata"].get("annotations") or {}).get(TEST_ANNOTATION, ""))[:_MAX_REQUEST]
        facts = self._book.get(key)
        if not request or (facts is not None and facts.test is not None and facts.test.request == request):
            return
        if can_be_sent:
            self._book.put_test(key, Test(request))
            self._test_asked(key)
        else:
            refusal = Delivery(self._clock(), delivered=False, said="the channel's spec is not valid: see Accepted")
            self._book.put_test(key, Test(request, refusal))

    def _write(self, key: ChannelKey, document: Json, finding: Finding) -> None:
        facts = self._book.get(key)
        assert facts is not None
        generation, previous = document["metadata"]["generation"], document.get("status") or {}
        outbox = self._store.get(key)
        status = channel_status(facts, finding, outbox, generation=generation, previous=previous, now=self._clock())
        if status == previous:
            return
        self._changed(key)
        metadata = {name: document["metadata"][name] for name in ("namespace", "name", "uid")}
        body = {"apiVersion": API_VERSION, "kind": "NotificationChannel", "metadata": metadata, "status": status}
        path = virtwatch("notificationchannels", namespace=key.namespace, name=key.name, subresource="status")
        try:
            self._client.apply(path, body, manager=MANAGER)
        except (NotFound, Conflict):
            return  # gone, or made again meanwhile, which is reported again


def _invalid(problems: Any) -> Finding:
    return fails("Accepted", "Invalid", " ".join(f"{problem}." for problem in problems[:8]))


def _read(document: Json | None) -> Delivery | None:
    return read_delivery(document, at=timestamp(str(document["at"])) or 0.0) if document else None
