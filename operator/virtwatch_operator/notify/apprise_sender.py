"""Sends by Apprise: e-mail, SMS, phone, chat, webhook."""

import json
import os
import subprocess
import sys
from typing import Any

from virtwatch_api.channel import Channel
from virtwatch_api.policy import Severity
from virtwatch_operator.notify.guard import Guard
from virtwatch_operator.notify.redact import redact
from virtwatch_operator.notify.schemes import scheme_problem
from virtwatch_operator.notify.sender import SEND_S, Parcel, Receipt

_PROCESS = (sys.executable, "-I", "-m", "virtwatch_operator.notify.apprise_process")
# What a send needs of the operator's environment: certificates and a way out, and no header of any backend.
_KEPT = (
    *("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
_TYPES = {Severity.CRITICAL: "failure", Severity.WARNING: "warning", None: "success"}


class AppriseSender:
    """Send each message by a process that ends with it."""

    def check(self, channel: Channel, secret: str) -> str:
        """Return what is wrong with an Apprise URL, empty where it can be used."""
        url = secret.strip()
        if problem := scheme_problem(channel.type, url):
            return problem
        answer = _ask({"url": url, "check": True, "guard": Guard().encode()})
        return "" if answer is None or answer["known"] else "holds an address that Apprise cannot read"

    def send(self, parcel: Parcel) -> Receipt:
        """Send; the process is killed where it takes too long."""
        url = parcel.secret.strip()
        if problem := scheme_problem(parcel.channel.type, url):
            return Receipt(delivered=False, said=f"the Secret {problem}")
        answer = _ask(
            {
                "url": url,
                "title": parcel.message.title,
                "body": parcel.message.body,
                "type": _TYPES[parcel.message.severity] if parcel.entries else "info",
                "guard": parcel.guard.encode(),
            }
        )
        if answer is None:
            return Receipt(delivered=False, said=f"the receiver took longer than {SEND_S:.0f} s")
        return Receipt(bool(answer["delivered"]), redact(str(answer["said"]), url))


def _ask(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the process's answer, None where it gave none in time."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(
            _PROCESS,
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=SEND_S,
            check=False,
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"known": True, "delivered": False, "said": f"the sending process ended with code {done.returncode}"}
    return answer
