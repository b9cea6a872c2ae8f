"""Sends to an Alertmanager's API, version 2."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from virtwatch_api.channel import Channel
from virtwatch_operator.notify.explain import explain
from virtwatch_operator.notify.guard import Guard, OutOfBoundsError
from virtwatch_operator.notify.message import summary, where
from virtwatch_operator.notify.outbox import Entry
from virtwatch_operator.notify.pace import RESEND_S
from virtwatch_operator.notify.redact import redact
from virtwatch_operator.notify.sender import Parcel, Receipt
from virtwatch_operator.tracing import trace_id

Labels = dict[str, str]

_PATH = "/api/v2/alerts"
_CONNECT_S = 5.0
_DEADLINE_S = 15.0
# As Prometheus does: an alert ends by itself when its sender was silent for four turns.
_LIFE_S = 4 * RESEND_S


class AlertmanagerSender:
    """Post alerts; each one's whole state every time, so that a repetition changes nothing."""

    def __init__(self, *, trace_url: str = "") -> None:
        self._trace_url = trace_url

    def check(self, channel: Channel, secret: str) -> str:  # noqa: ARG002 - as Sender says
        """Return what is wrong with the token, empty where it can be used."""
        return "holds a token of more than one line" if len(secret.split()) > 1 else ""

    def send(self, parcel: Parcel) -> Receipt:
        """Post all alerts of a parcel, or a test alert that ends after a minute."""
        assert parcel.channel.alertmanager is not None
        notified = {item.transition.alert.id: labels(item) for item in parcel.entries if item.firing}
        alerts = self._alerts(parcel)
        try:
            status = _post(parcel.channel.alertmanager.url, alerts, token=parcel.secret.strip(), guard=parcel.guard)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Receipt(delivered=False, said=redact(explain(error), parcel.secret))
        if status // 100 == 2:
            return Receipt(delivered=True, said="delivered", labels=notified)
        phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else ""
        moved = "; redirects are not followed, so give its final address" if status // 100 == 3 else ""
        return Receipt(delivered=False, said=f"the Alertmanager answered {status} {phrase}".rstrip() + moved)

    def _alerts(self, parcel: Parcel) -> list[dict[str, Any]]:
        if not parcel.entries:
            return [_test_alert(parcel)]
        found = []
        for item in parcel.entries:
            before = dict(item.notified.labels) if item.notified is not None else {}
            now = labels(item)
            if item.firing:
                found.append(self._alert(item, now, ends=parcel.now + _LIFE_S))
                if before and before != now:  # its severity or its node changed: the alert of before is another one
                    found.append(self._alert(item, before, ends=parcel.now))
            else:
                found.append(self._alert(item, before or now, ends=item.transition.at))
        return found

    def _alert(self, item: Entry, labels: Mapping[str, str], *, ends: float) -> dict[str, Any]:
        transition = item.transition
        trace = trace_id(transition.traceparent)
        annotations = {
            "summary": item.words.summary or summary(item),
            "description": transition.evidence.sentence,
            "runbook_url": item.words.runbook,
            "trace_id": trace,
        }
        link = self._trace_url.replace("{trace}", trace) if trace else ""
        return {
            "labels": dict(labels),
            "annotations": {name: text for name, text in annotations.items() if text},
            "startsAt": _time(min(transition.since, ends)),
            "endsAt": _time(ends),
            **({"generatorURL": link} if link else {}),
        }


def labels(item: Entry) -> Labels:
    """Return the labels of an alert: what Alertmanager routes, groups and silences by."""
    transition, alert = item.transition, item.transition.alert
    subject = transition.subject
    given = {
        **item.words.labels,  # the rule's own, which replace none of these
        "alertname": alert.rule,
        "severity": (transition.severity or item.worst).value.lower(),
        "namespace": subject.namespace or alert.policy.namespace,
        "policy": alert.policy.name,
        "policy_kind": alert.policy.kind.value,
        "target": where(subject),
        "node": subject.node,
        "device": alert.device,
        "alert_id": alert.id,
        "source": "virtwatch",
    }
    return {name: text for name, text in given.items() if text}


def _test_alert(parcel: Parcel) -> dict[str, Any]:
    return {
        "labels": {"alertname": "VirtwatchTest", "severity": "none", "channel": str(parcel.channel.key)},
        "annotations": {"summary": parcel.message.title, "description": parcel.message.body},
        "startsAt": _time(parcel.now),
        "endsAt": _time(parcel.now + RESEND_S),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _post(url: str, alerts: Sequence[Mapping[str, Any]], *, token: str, guard: Guard) -> int:
    """Post alerts; return the status. The whole exchange ends after `_DEADLINE_S`, however slowly the server speaks."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    sock = _connect(host, parts.port or (443 if secure else 80), guard)
    if secure:
        context = ssl.create_default_context()
        sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    timer = threading.Timer(_DEADLINE_S, _shut, (sock,))
    timer.daemon = True
    timer.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = http.client.HTTPConnection(host, timeout=_DEADLINE_S)
        connection.sock = sock
        headers = {
            "Content-Type": "application/json",
            "Host": parts.netloc,
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        connection.request("POST", parts.path.rstrip("/") + _PATH, json.dumps(alerts).encode(), headers)
        return connection.getresponse().status
    finally:
        timer.cancel()
        sock.close()


def _connect(host: str, port: int, guard: Guard) -> socket.socket:
    """Connect to the first of a host's addresses that answers; what is connected to is what was checked."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if reason := guard.refuses(str(address[0])):
            raise OutOfBoundsError(str(address[0]), reason)
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(_CONNECT_S)
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        sock.settimeout(_DEADLINE_S)
        return sock
    raise failure or OSError("no address")


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
