"""Plays providers whose addresses Apprise knows by heart, in network and mount namespaces of its own.

Run by `unshare --mount --net`: there, names lead to this process, and certificates are a CA's that exists nowhere else.
"""

import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trustme

from tests.integration.operator.receivers import Webhook
from tests.unit.operator.builders import transition
from tests.unit.operator.test_outbox import put
from tests.unit.operator.test_pace import CHANNEL
from virtwatch_api.channel import Alertmanager, Channel, ChannelType
from virtwatch_operator.notify.alertmanager import AlertmanagerSender
from virtwatch_operator.notify.apprise_sender import AppriseSender
from virtwatch_operator.notify.guard import Guard, parse_networks
from virtwatch_operator.notify.message import write
from virtwatch_operator.notify.outbox import Outbox
from virtwatch_operator.notify.sender import Parcel, Receipt

OUTSIDE = "192.0.2.1"  # of no network that a guard refuses by itself
HOSTS = (
    f"127.0.0.1 localhost inside.example.com\n127.0.0.1 api.twilio.com hooks.slack.com\n{OUTSIDE} outside.example.com\n"
)
TENANT = Guard(parse_networks(["10.0.0.0/8"]))


def enter(folder: Path) -> None:
    """Give this namespace its addresses and names."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "address", "add", "10.1.2.3/32", "dev", "lo"], check=True)
    hosts = folder / "hosts"
    hosts.write_text(HOSTS)
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)


def send(channel: Channel, secret: str, guard: Guard) -> Receipt:
    """Send one alert's message."""
    outbox = put(Outbox(), transition())
    message = write(outbox.waiting, outbox, channel, now=outbox.waiting[0].queued)
    parcel = Parcel(channel, secret, message, outbox.waiting, guard, outbox.waiting[0].queued)
    sender = AlertmanagerSender() if channel.type is ChannelType.ALERTMANAGER else AppriseSender()
    return sender.send(parcel)


def a_channel(type_: ChannelType, **more: Any) -> Channel:
    """Return a channel of a type."""
    from dataclasses import replace

    return replace(CHANNEL, type=type_, **more)


def phone(folder: Path) -> dict[str, Any]:
    """Send an SMS and make a call by a provider's API, over TLS."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    os.environ["REQUESTS_CA_BUNDLE"] = str(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.twilio.com").configure_cert(context)
    account = f"AC{'a' * 32}:{'b' * 32}@+15551234567/+15557654321"
    with Webhook(context=context, port=443) as provider:
        sms = send(a_channel(ChannelType.SMS), f"twilio://{account}", Guard(free=True))
        call = send(a_channel(ChannelType.PHONE), f"twilio://{account}?method=call", Guard(free=True))
    return {
        "receipts": [sms.said, call.said],
        "posted": [[path, parse_qs(body.decode())] for path, _, body in provider.posted],
    }


def untrusted(folder: Path) -> dict[str, Any]:
    """Send to a server whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("outside.example.com").configure_cert(context)
    with Webhook(OUTSIDE, context=context, port=443) as server:
        webhook = send(a_channel(ChannelType.WEBHOOK), "jsons://outside.example.com/x", TENANT)
        there = Alertmanager("https://outside.example.com")
        alertmanager = send(a_channel(ChannelType.ALERTMANAGER, url=None, alertmanager=there), "", TENANT)
    return {"receipts": [webhook.said, alertmanager.said], "posted": len(server.posted)}


def bounds(folder: Path) -> dict[str, Any]:
    """Try the ways to the cluster's inside: by address, by name, by redirect."""
    with Webhook(OUTSIDE, port=80) as outside, Webhook("0.0.0.0", port=81) as inside:
        outside.location = "http://127.0.0.1:81/redirected"
        said = {}
        for name, url in {
            "address": "json://127.0.0.1:81/",
            "name": "json://inside.example.com:81/",
            "denied": "json://10.1.2.3:81/",
            "allowed": "json://outside.example.com/",
        }.items():
            said[name] = send(a_channel(ChannelType.WEBHOOK), url, TENANT).said
        outside.answers = [307]
        said["redirect"] = send(a_channel(ChannelType.WEBHOOK), "json://outside.example.com/", TENANT).said
        for name, url in {
            "alertmanager": "http://outside.example.com",
            "alertmanager inside": "http://inside.example.com:81",
        }.items():
            there = a_channel(ChannelType.ALERTMANAGER, url=None, alertmanager=Alertmanager(url))
            said[name] = send(there, "", TENANT).said
        outside.answers = [307]
        there = a_channel(ChannelType.ALERTMANAGER, url=None, alertmanager=Alertmanager("http://outside.example.com"))
        said["alertmanager redirect"] = send(there, "", TENANT).said
    return {"said": said, "inside": len(inside.posted), "outside": len(outside.posted)}


def chat(folder: Path) -> dict[str, Any]:
    """Send to Slack, whose address is fixed, to Teams by a workflow's address, and to a room of a Matrix server."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    os.environ["REQUESTS_CA_BUNDLE"] = str(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("hooks.slack.com", "outside.example.com").configure_cert(context)
    with Webhook("0.0.0.0", context=context, port=443) as service:
        service.says = b"ok"
        slack = f"slack://T1JJ3T3L2/A1BRTD4JD/{'t' * 24}/#ops"
        teams = f"workflows://outside.example.com:443/{'a' * 32}/{'s' * 43}/"
        receipts = [send(a_channel(ChannelType.CHAT), url, Guard(free=True)).said for url in (slack, teams)]
        room = "!ops:outside.example.com"
        # One answer for each of the questions that lead to a message: where the server is, who asks, which room.
        server = {"m.homeserver": {"base_url": "https://outside.example.com"}, "home_server": "outside.example.com"}
        service.says = json.dumps({**server, "access_token": "token", "user_id": "@ann", "room_id": room}).encode()
        matrix = f"matrixs://ann:password@outside.example.com/{room}?e2ee=no"
        receipts.append(send(a_channel(ChannelType.CHAT), matrix, Guard(free=True)).said)
    return {"receipts": receipts, "posted": [[path, body.decode()] for path, _, body in service.posted]}


CANARY = "c4n4ry"


def refused(folder: Path) -> dict[str, Any]:
    """Have each kind of receiver refuse, and repeat the secret in its answer."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = str(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.twilio.com", "hooks.slack.com", "outside.example.com").configure_cert(context)
    twilio = f"twilio://AC{'a' * 32}:{CANARY}{'b' * 26}@+15551234567/+15557654321"
    urls = {
        "webhook": (ChannelType.WEBHOOK, f"jsons://ann:{CANARY}@outside.example.com/{CANARY}?+X-Token={CANARY}"),
        "sms": (ChannelType.SMS, twilio),
        "call": (ChannelType.PHONE, f"{twilio}?method=call"),
        "slack": (ChannelType.CHAT, f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}{'t' * 18}/#ops"),
        "teams": (ChannelType.CHAT, f"workflows://outside.example.com:443/{CANARY}{'a' * 26}/{CANARY}{'s' * 37}/"),
        "matrix": (ChannelType.CHAT, f"matrixs://ann:{CANARY}@outside.example.com/#{CANARY}"),
        "no mail server": (ChannelType.EMAIL, f"mailtos://ann:{CANARY}@example.com:1?smtp=localhost"),
        "no such host": (ChannelType.WEBHOOK, f"jsons://{CANARY}.invalid/"),
        "not an address": (ChannelType.WEBHOOK, f"jsons://ann:{CANARY}@[::/{CANARY}"),
    }
    token = Alertmanager("https://outside.example.com")
    with Webhook("0.0.0.0", context=context, port=443) as service:
        service.says = f"no such token: {CANARY}".encode()
        service.location = f"https://outside.example.com/{CANARY}"
        service.answers = [401, 302] * 100
        said = {}
        for name, (type_, url) in urls.items():
            said[name] = send(a_channel(type_), url, Guard(free=True)).said
            said[f"{name}, looked at"] = AppriseSender().check(a_channel(type_), url)
        there = a_channel(ChannelType.ALERTMANAGER, url=None, alertmanager=token)
        said["alertmanager"] = send(there, CANARY, Guard(free=True)).said
    return {"said": said}


SCENARIOS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "phone": phone,
    "chat": chat,
    "untrusted": untrusted,
    "bounds": bounds,
    "refused": refused,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        enter(Path(folder))
        print(json.dumps(SCENARIOS[sys.argv[1]](Path(folder))))


if __name__ == "__main__":
    main()
